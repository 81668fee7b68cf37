import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import axe from 'axe-core'
import type { AxeResults } from 'axe-core'
import type { Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import { startDemo } from '../../demo/start.ts'
import type { Demo } from '../../demo/start.ts'
import { launchBrowser, NO_BROWSER } from '../../scripts/chromium.ts'
import { wav } from '../../scripts/samples/audio.ts'
import { sha256 } from '../support/service/service.ts'

async function demo (t: Test): Promise<Demo> {
  const dir = await mkdtemp(join(tmpdir(), 'fastify-b2-uploads-test-'))
  const demo = await startDemo({ dir, port: 0, env: { LOG_LEVEL: 'silent', BREAKER_RESET_MS: '200', PROMOTE_INTERVAL_MS: '200' } })
  t.teardown(async () => {
    await demo.close()
    await rm(dir, { recursive: true, force: true })
  })
  return demo
}

/** What axe holds against the page as it is now. */
async function faults (page: Page): Promise<string[]> {
  await page.evaluate(axe.source) // not as a script of the page, which its policy would forbid
  const { violations } = await page.evaluate('axe.run()') as AxeResults
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
}

t.test('on the demo\'s page one can pull B2\'s plug in the middle of an upload, see it stored locally, and move when B2 is back', { skip: NO_BROWSER }, async t => {
  const { url, b2 } = await demo(t)
  const browser = await launchBrowser()
  t.teardown(() => browser.close())
  const page = await browser.newPage({ viewport: { width: 1200, height: 900 }, colorScheme: 'light' })
  page.setDefaultTimeout(60_000)
  const troubles: string[] = []
  page.on('pageerror', error => troubles.push(String(error)))
  page.on('console', message => { if (['error', 'warning'].includes(message.type())) troubles.push(message.text()) })
  page.on('request', request => { if (!request.url().startsWith(`${url}/`) && !request.url().startsWith(`blob:${url}/`)) troubles.push(request.url()) })
  const isAccessible = async (when: string): Promise<void> => { t.same(await faults(page), [], `axe finds nothing ${when}`) }

  await page.goto(url)
  t.equal(page.url(), `${url}/demo`, 'the first page that one finds')
  const card = (title: string) => page.locator('li', { has: page.getByRole('heading', { name: title, exact: true }) })
  const choose = async (...files: { name: string, mimeType: string, buffer: Buffer }[]): Promise<void> => {
    const chooser = page.waitForEvent('filechooser')
    await page.getByRole('button', { name: /^Drop files here/ }).press('Enter')
    await (await chooser).setFiles(files)
  }

  const song = wav({ seconds: 2, title: 'Short Song', artist: 'Somebody' })
  await choose({ name: 'song.wav', mimeType: 'audio/wav', buffer: song }, { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('la la la') })
  await card('Short Song').locator('.badge', { hasText: 'b2' }).waitFor()
  await card('notes.txt').locator('.badge', { hasText: 'b2' }).waitFor()
  const text = await card('Short Song').innerText()
  for (const fact of ['Somebody', '0:02', '88 kB', 'song.wav', `sha256:${sha256(song)}`]) t.ok(text.includes(fact), fact)

  await page.getByRole('radio', { name: 'slow' }).check()
  await page.getByRole('heading', { name: 'B2 is slow.' }).waitFor()
  b2.throttle({ bytesPerSecond: 100_000 }) // a part takes longer than this test needs
  const long = wav({ minBytes: 9_000_000, title: 'Long Song', artist: 'Somebody' })
  const part = b2.waitFor('request', ({ operation }) => operation === 'UploadPart')
  await choose({ name: 'long.wav', mimeType: 'audio/wav', buffer: long })
  await part
  t.ok(await page.getByRole('progressbar', { name: 'Upload of long.wav' }).isVisible())
  await page.emulateMedia({ reducedMotion: 'reduce' }) // colours on their way to others are nobody's choice
  await isAccessible('while a file is on its way')
  t.equal(b2.unfinishedUploads().length, 1, 'the file is still on its way')
  await page.getByRole('button', { name: 'Pull B2’s plug' }).click()

  await card('Long Song').locator('.badge', { hasText: 'local' }).waitFor()
  t.match(await card('Long Song').innerText(), 'B2 could not be reached')
  await page.getByRole('heading', { name: 'B2 is unplugged.' }).waitFor()
  await page.getByRole('definition').getByText('1 file', { exact: true }).waitFor()
  await page.getByRole('status').getByText('Long Song is stored in local storage.').waitFor({ state: 'attached' })
  await isAccessible('while a file waits')
  await page.emulateMedia({ colorScheme: 'dark' })
  await isAccessible('in the dark')
  await page.setViewportSize({ width: 360, height: 740 })
  t.equal(await page.evaluate('document.documentElement.scrollWidth'), 360, 'nothing sticks out on a phone')
  await isAccessible('on a phone')

  await page.emulateMedia({ reducedMotion: 'no-preference' })
  await page.getByRole('button', { name: 'Plug B2 in again' }).press('Space')
  await card('Long Song').locator('.badge', { hasText: 'b2' }).waitFor()
  await page.getByRole('status').getByText('Long Song has moved to B2.').waitFor({ state: 'attached' })
  for (const fact of ['closed Uploads try B2.', '0 files', 'none since it last worked']) await page.getByRole('definition').getByText(fact, { exact: true }).waitFor()
  t.ok(b2.objects().some(object => object.sha256 === sha256(long)))
  t.match(await page.getByRole('heading', { level: 2 }).allInnerTexts(), [/In B2\s*3/, /In local storage\s*0/])

  const [length, place] = await card('Long Song').locator('audio').evaluate(async (audio: any) => {
    await new Promise(resolve => Object.assign(audio, { onloadedmetadata: resolve, preload: 'auto' }))
    await new Promise(resolve => Object.assign(audio, { onseeked: resolve, currentTime: 150 }))
    return [audio.duration, audio.currentTime]
  })
  t.equal(Math.round(length), Math.ceil(9_000_000 / 44_100))
  t.equal(place, 150)

  await page.getByRole('checkbox', { name: /^Send at 4 MB a second/ }).uncheck()
  await page.getByRole('button', { name: 'Take three sample tracks' }).click()
  await card('All Night Train').locator('.badge', { hasText: 'b2' }).waitFor()

  await page.getByRole('checkbox', { name: /^Send at 4 MB a second/ }).check()
  let parts = 0
  const beyondWindow = new Promise<void>(resolve => {
    b2.on('response', ({ operation }) => { if (operation === 'UploadPart' && ++parts === 5) resolve() })
  })
  await page.getByRole('button', { name: 'Take a large one (62 MB)' }).click()
  await beyondWindow
  await page.getByRole('button', { name: 'Pull B2’s plug' }).click()
  await card('The Endless Encore').locator('.badge', { hasText: 'split' }).waitFor()
  t.match(await card('The Endless Encore').innerText(), /B2 has \d+\.\d MB of it, local storage the other \d+\.\d MB\./)
  t.ok(await page.getByRole('progressbar', { name: 'Share of The Endless Encore that B2 has' }).isVisible())
  await page.getByRole('status').getByText(/The Endless Encore is split: B2 has its beginning/).waitFor({ state: 'attached' })
  await page.emulateMedia({ reducedMotion: 'reduce' })
  await isAccessible('while a split file waits')
  await page.emulateMedia({ reducedMotion: 'no-preference' })
  await page.getByRole('button', { name: 'Plug B2 in again' }).click()
  await card('The Endless Encore').locator('.badge', { hasText: 'b2' }).waitFor()
  await page.getByRole('status').getByText('The Endless Encore has been joined in B2.').waitFor({ state: 'attached' })

  await page.reload()
  await card('All Night Train').locator('.badge', { hasText: 'b2' }).waitFor()
  t.equal(await page.locator('li').count(), 7, 'what is stored is still there')
  t.same(troubles, [], 'no error, and no request to anywhere else')
})
