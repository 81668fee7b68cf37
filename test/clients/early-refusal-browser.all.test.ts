import t from 'tap'
import { launchBrowser, NO_BROWSER } from '../../scripts/chromium.ts'
import { headersOf, isForm, LARGE, sizesOf, SMALL, startRefusals } from '../support/clients/refusals.ts'

t.test('fetch in Chromium resolves with the answer', { skip: NO_BROWSER }, async t => {
  const refusals = await startRefusals(t)
  const browser = await launchBrowser()
  t.teardown(() => browser.close())
  for (const service of new Set(refusals.map(({ service }) => service))) {
    const cases = refusals.filter(refusal => refusal.service === service).flatMap(refusal => sizesOf(refusal).map(size => ({ refusal, size })))
    const page = await browser.newPage({ bypassCSP: true })
    await page.goto(`${service.url}/health`)
    // Made once for all the cases: a browser takes a second to make the large one.
    const largest = cases.some(({ size }) => size === LARGE) ? LARGE : SMALL
    const file = await page.evaluateHandle(size => new Blob([new Uint8Array(size)]), largest)
    for (const { refusal, size } of cases) {
      const { name, path, method, status, code } = refusal
      await t.test(`to a file of ${size / 1_048_576} MiB, ${name}`, async t => {
        const before = service.log.of('upload.failed').length
        const answer = await page.evaluate(async ({ file, path, method, headers, size, isForm }) => {
          const part = file.slice(0, size)
          const form = new FormData()
          form.append('file', part, 'a.bin')
          const response = await fetch(path, { method, headers, body: isForm ? form : part })
          return { status: response.status, body: await response.json() }
        }, { file, path, method, headers: headersOf(refusal), size, isForm: isForm(refusal) })
        t.match(answer, { status, body: { error_code: code } })
        t.equal(service.log.of('upload.failed').length, before + 1, 'and sends it once')
      })
    }
    await page.close()
  }
})
