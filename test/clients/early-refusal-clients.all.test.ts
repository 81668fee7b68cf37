import { execFile } from 'node:child_process'
import { openAsBlob } from 'node:fs'
import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { isError } from '../support/clients/raw-http.ts'
import { headersOf, isForm, LARGE, sizesOf, SMALL, startRefusals } from '../support/clients/refusals.ts'

const MIB = 1_048_576
const run = promisify(execFile)
const hasCurl = await run('curl', ['--version']).then(() => true, () => false)

const dir = t.testdir()
async function fileOf (size: number): Promise<string> {
  const path = join(dir, `${size}.bin`)
  await writeFile(path, '')
  await truncate(path, size)
  return path
}

const small = await fileOf(SMALL)
const large = await fileOf(LARGE)
const refusals = await startRefusals(t)
const cases = refusals.flatMap(refusal => sizesOf(refusal).map(size => ({ ...refusal, size, file: size === SMALL ? small : large })))

type Case = typeof cases[number]

async function form (file: string): Promise<FormData> {
  const made = new FormData()
  made.append('file', await openAsBlob(file), 'a.bin')
  return made
}

t.test('node\'s fetch resolves with the answer', async t => {
  for (const refusal of cases) {
    const { name, service, path, method, status, code, size, file } = refusal
    await t.test(`to a file of ${size / MIB} MiB, ${name}`, async t => {
      const response = await fetch(`${service.url}${path}`, { method, headers: headersOf(refusal), body: isForm(refusal) ? await form(file) : await openAsBlob(file) })
      isError(t, { status: response.status, headers: response.headers, body: await response.json() }, status, code)
    })
  }
  for (const { name, service, path, method, headers, status, code } of refusals.filter(({ method, code }) => method === 'PUT' && code !== 'file_too_large')) {
    await t.test(`to a stream that has no end, ${name}`, async t => {
      const chunk = new Uint8Array(65_536)
      const body = new ReadableStream({ pull: controller => { controller.enqueue(chunk) } })
      const response = await fetch(`${service.url}${path}`, { method, headers, body, duplex: 'half' } as RequestInit)
      isError(t, { status: response.status, headers: response.headers, body: await response.json() }, status, code)
    })
  }
})

t.test('curl shows the answer and ends with 0', { skip: hasCurl ? false : 'there is no curl' }, async t => {
  const ask = async (refusal: Case, ...more: string[]): Promise<{ status: number, sent: number, code: string }> => {
    const { service, path, method, file } = refusal
    const body = isForm(refusal) ? ['-F', `file=@${file}`] : method === 'PUT' ? ['-T', file] : ['--data-binary', `@${file}`]
    const headers = Object.entries(headersOf(refusal)).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
    const { stdout } = await run('curl', ['-sS', '-w', '\n%{http_code} %{size_upload}', ...body, ...headers, ...more, `${service.url}${path}`])
    const [text, numbers] = stdout.split('\n')
    const [status, sent] = numbers!.split(' ').map(Number)
    return { status: status!, sent: sent!, code: JSON.parse(text!).error_code }
  }
  for (const refusal of cases) {
    const { name, status, code, size, looksAtBytes } = refusal
    await t.test(`with a file of ${size / MIB} MiB, ${name}`, async t => {
      const asked = await ask(refusal, '--expect100-timeout', '30')
      t.match(asked, { status, code })
      t.equal(asked.sent > 0, looksAtBytes, 'it asks by Expect: 100-continue first, and sends nothing of the file where it need not')
      t.match(await ask(refusal, '-H', 'Expect:'), { status, code }, 'without asking first')
    })
  }
  t.match(await ask(cases[0]!, '--fail-with-body').catch((error: unknown) => error), { code: 22, stdout: /"unauthorized"/ }, 'with --fail-with-body it ends with 22')
})
