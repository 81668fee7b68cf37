import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startDemo } from '../demo/start.ts'
import { launchBrowser } from './chromium.ts'
import { wav } from './samples/audio.ts'

// The pictures of the demo that README shows: a file in B2, its plug pulled, a file that waits, and one on its way.
const IMAGES = fileURLToPath(new URL('../docs/images', import.meta.url))

type Track = [title: string, artist: string, seconds: number]

const dir = await mkdtemp(join(tmpdir(), 'fastify-b2-uploads-screenshots-'))
const demo = await startDemo({ dir, port: 0, env: { LOG_LEVEL: 'silent', BREAKER_THRESHOLD: '1', BREAKER_RESET_MS: '600000' } })
const browser = await launchBrowser()
try {
  const page = await browser.newPage({ viewport: { width: 1200, height: 948 }, reducedMotion: 'reduce' })
  await page.goto(`${demo.url}/demo`)
  const stored = (storage: string): Promise<void> => page.locator(`[data-storage=${storage}] .badge`).waitFor()
  const upload = (...tracks: Track[]): Promise<void> => page.locator('input[type=file]').setInputFiles(tracks.map(
    ([title, artist, seconds]) => ({ name: `${title.toLowerCase().replaceAll(' ', '-')}.wav`, mimeType: 'audio/wav', buffer: wav({ title, artist, seconds }) })))

  const slowly = page.getByRole('checkbox')
  await slowly.uncheck()
  await upload(['Harbour Lights', 'The Sample Generators', 95])
  await stored('b2')
  await page.getByRole('radio', { name: 'down' }).check()
  await upload(['The Long Way Round', 'Ada Quill', 187])
  await stored('local')
  await slowly.check()
  await upload(['All Night Train', 'The Sample Generators', 400])
  await page.getByText(/^1[1-4]\.\d MB of 17\.6 MB/).waitFor()
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    await page.screenshot({ path: join(IMAGES, `demo-${colorScheme}.png`) })
  }
} finally {
  await browser.close()
  await demo.close()
  await rm(dir, { recursive: true, force: true })
}
