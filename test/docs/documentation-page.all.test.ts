import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { launchBrowser, NO_BROWSER } from '../../scripts/chromium.ts'
import type { Receipt } from '../../services/receipt.ts'
import { b2Env, bytes, inB2, sha256, startB2, startService } from '../support/service/service.ts'

t.test('an upload can be tried on the documentation page', { skip: NO_BROWSER }, async t => {
  const b2 = await startB2(t)
  const { url } = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', API_KEYS: 'a-key-that-is-long-enough' })
  const content = bytes(100_000)
  const song = join(t.testdir(), 'song.mp3')
  await writeFile(song, content)

  const browser = await launchBrowser()
  t.teardown(() => browser.close())
  const page = await browser.newPage()
  const troubles: string[] = []
  page.on('pageerror', error => troubles.push(String(error)))
  page.on('console', message => { if (message.type() === 'error') troubles.push(message.text()) })
  page.on('request', request => { if (!request.url().startsWith(url) && !request.url().startsWith('data:')) troubles.push(request.url()) })
  await page.goto(`${url}/documentation`)

  await page.locator('button.authorize').first().click()
  await page.locator('.auth-container input').fill('a-key-that-is-long-enough')
  await page.locator('.auth-container button.authorize').click()
  await page.locator('.auth-container button.btn-done').click()

  for (const id of ['uploadFile', 'uploadRawFile']) {
    const operation = page.locator(`#operations-uploads-${id}`)
    await operation.locator('.opblock-summary-control').click()
    await operation.locator('input[type=file]').setInputFiles(song)
    const name = operation.locator('tr[data-param-name=name] input')
    if (id === 'uploadRawFile') await name.fill('song.mp3')
    await operation.locator('button.execute').click()
    const answer = operation.locator('.live-responses-table')
    await answer.locator('.response-col_status', { hasText: '201' }).waitFor()
    const { track } = JSON.parse(await answer.locator('.response-col_description code').first().innerText()) as Receipt
    t.match(track, { filename: 'song.mp3', sha256: sha256(content) }, id)
  }
  t.match(inB2(b2).files, [{ size: 100_000 }, { size: 100_000 }])
  t.same(troubles, [], 'no error, and no request to anywhere else')
})
