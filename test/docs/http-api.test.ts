import { execFile, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import type { Test } from 'tap'
import { mp3 } from '../../scripts/samples/audio.ts'
import { AudioTagsSchema } from '../../services/audio/tags.ts'
import { StoredLocallySchema, StoredSplitSchema, TrackSchema } from '../../services/receipt.ts'
import { UPLOAD_ERROR_CODES, UploadError } from '../../services/upload-errors.ts'
import { begin } from '../support/clients/leaving-client.ts'
import { codeIn, quoted, readDocument, rowsOf, sectionsOf } from '../support/docs/markdown.ts'
import { b2Env, bytes, put, startB2, startService } from '../support/service/service.ts'
import type { TestService } from '../support/service/service.ts'

const page = readDocument('docs/http-api.md')
const [beforeErrors, errors] = page.split(/^## Errors$/m) as [string, string]
const { paths } = JSON.parse(readDocument('openapi.json')) as { paths: Record<string, Record<string, Operation>> }
interface Operation { operationId: string, responses: Record<string, { content?: { 'application/json'?: { examples?: Record<string, object> } } }> }

const isCode = (name: string): boolean => (UPLOAD_ERROR_CODES as string[]).includes(name)
const [, major, minor] = /^curl (\d+)\.(\d+)/.exec(String(spawnSync('curl', ['--version']).stdout)) ?? []
const skip = Number(major) * 100 + Number(minor) >= 783 ? false : 'no curl 7.83 or newer here'
const MIB = 1_048_576

t.test('every route has a section with its operation, its statuses and its error codes, as the OpenAPI document has them', async t => {
  const documented: unknown[] = []
  for (const text of beforeErrors.split(/^## /m).slice(1)) {
    const [, methods, path] = /^((?:GET|HEAD|POST|PUT|PATCH|DELETE)(?: and HEAD)?) (\/\S*)\n/.exec(text) ?? []
    if (methods === undefined) continue
    const rows = rowsOf(text, 'status', 'answer')
    for (const method of methods.split(' and ')) {
      const own = rows.filter(([, answer]) => method === 'GET' || !answer!.startsWith('`GET` alone: '))
      documented.push([method, path, own.map(([status, answer]) => [status, quoted(answer!).filter(isCode)])])
    }
    for (const method of methods.split(' and ')) t.match(text, `\`${paths[path!]![method.toLowerCase()]!.operationId}\``)
  }
  const expected = Object.entries(paths).flatMap(([path, operations]) => Object.entries(operations).map(([method, { responses }]) => [
    method.toUpperCase(), path, Object.entries(responses).map(([status, { content }]) => [status, Object.keys(content?.['application/json']?.examples ?? {}).filter(isCode)]),
  ]))
  t.same(documented.sort(), expected.sort())
})

t.test('the tables of the receipt have its fields', async t => {
  const tables = sectionsOf(page).find(({ title }) => title === 'The receipt')!.text.split(/^\| field \| \|$/m).slice(1)
  const fields = tables.map(table => rowsOf(`| field | |${table}`, 'field', '').flatMap(([names]) => quoted(names!)).sort())
  const [receipt, track, audio] = [{ ...StoredLocallySchema.properties, ...StoredSplitSchema.properties }, TrackSchema.properties, AudioTagsSchema.properties]
    .map(properties => Object.keys(properties).sort())
  t.same(fields, [receipt, track, audio])
})

/** Carries out a block, as in a directory with the files that it names. */
async function carryOut (t: Test, service: Pick<TestService, 'url'>, code: string, location = ''): Promise<{ stdout: string, dir: string }> {
  const dir = t.testdir({ '.curlrc': 'no-progress-meter\nfail-with-body\nwrite-out = "\\n%{http_code}\\n"\n' })
  await writeFile(join(dir, 'song.mp3'), mp3({ title: 'Song' }))
  await writeFile(join(dir, 'big.bin'), '')
  await truncate(join(dir, 'big.bin'), 12 * MIB)
  const script = `S=${service.url}; LOCATION=${location}; ${code.replace('http://127.0.0.1:3000', service.url).replace('sleep 40', 'sleep 3')}`
  const { stdout } = await promisify(execFile)('bash', ['-eo', 'pipefail', '-c', script], { cwd: dir, env: { ...process.env, HOME: dir, CURL_HOME: dir } })
    .catch((error: { stdout: string }) => error)
  return { stdout, dir }
}

t.test('the commands of the routes work as they stand, one after the other', { skip }, async t => {
  const b2 = await startB2(t)
  const blocks = codeIn(beforeErrors, 'sh')
  const { stdout, dir } = await carryOut(t, await startService(t, b2Env(b2)), `${blocks.join('')}echo all`)
  t.match(stdout, /\nall\n$/, 'none failed')
  t.same(stdout.match(/^\d{3}$/gm)?.map(Number), [201, 201, 200, 200, 206, 200, 204, 204, 200, 204, 200, 200, 200, 201, 201, 201, 201, 201])
  t.same(readFileSync(join(dir, 'back.mp3')), readFileSync(join(dir, 'song.mp3')))
  t.equal(readFileSync(join(dir, 'beginning.bin')).byteLength, 1_024)
  t.equal(b2.objects().length, 8)
})

t.test('the code for a page works as it stands', async t => {
  const service = await startService(t)
  const codes = codeIn(beforeErrors, 'js')
  t.equal(codes.length, 1)
  const code = codes[0]!.replace('fetch(', 'fetch(url + ') // a page has an origin
  // eslint-disable-next-line no-new-func -- the code stands in the document
  const send = new Function('file', 'url', `return (async () => { ${code}; return answer })()`) as (file: File, url: string) => Promise<Response>
  const answer = await send(new File([bytes(1_000)], 'a song.mp3'), service.url)
  t.match({ status: answer.status, body: await answer.json() }, { status: 201, body: { track: { filename: 'a song.mp3', size_bytes: 1_000 } } })
})

/** Has an upload under way until the test ends. */
async function holdOne (t: Test, service: TestService): Promise<void> {
  const socket = await begin(service, 'PUT', bytes(10))
  t.teardown(() => { socket.destroy() })
}

/** What has to be so for a command to bring about its error. */
const PREPARED: Record<string, (t: Test) => Promise<TestService>> = {
  unauthorized: t => startService(t, { API_KEYS: 'a-key-that-is-long-enough' }),
  forbidden: t => startService(t, { API_KEYS: 'reader:a-key-that-may-only-read:read' }),
  upload_stalled: t => startService(t, { UPLOAD_IDLE_TIMEOUT_MS: '200' }),
  file_too_large: t => startService(t, { UPLOAD_MAX_BYTES: String(12 * MIB - 1) }),

  async too_many_requests (t) {
    const service = await startService(t, { RATE_LIMIT_MAX: '1' })
    await put(service, bytes(10))
    return service
  },

  async storage_unavailable (t) {
    const b2 = await startB2(t)
    const service = await startService(t, { ...b2Env(b2), B2_MAX_ATTEMPTS: '1' })
    b2.fault({ status: 503, times: Infinity })
    await rm(service.dir, { recursive: true })
    await writeFile(service.dir, 'in the way')
    return service
  },

  async fallback_impossible (t) {
    const b2 = await startB2(t)
    const service = await startService(t, { ...b2Env(b2), B2_MAX_ATTEMPTS: '1', B2_PART_BYTES: String(5 * MIB), REPLAY_WINDOW_BYTES: String(MIB), FALLBACK_BEYOND_WINDOW: 'refuse' })
    b2.fault({ operation: 'CompleteMultipartUpload', status: 503, times: Infinity })
    return service
  },

  async overloaded (t) {
    const service = await startService(t, { UPLOAD_MAX_CONCURRENT: '1' })
    await holdOne(t, service)
    return service
  },

  async shutting_down (t) {
    const service = await startService(t, { SHUTDOWN_GRACE_MS: '30000' })
    await holdOne(t, service)
    service.app.close().catch(() => {})
    return service
  },
}

t.test('the table of errors has every code with its status', async t => {
  const documented = rowsOf(errors, 'status', '`error_code`', 'meaning', 'what to do').map(([status, code]) => `${status} ${quoted(code!)[0]}`)
  t.same(documented.sort(), UPLOAD_ERROR_CODES.map(code => `${new UploadError(code, '').statusCode} ${code}`).sort())
})

t.test('every error code has a section with its status, and a command that brings it about', { skip }, async t => {
  const sections = errors.split(/^### /m).slice(1).map(text => ({ text, heading: /^(\d{3}) `(\w+)`$/m.exec(text)! }))
  t.same(sections.map(({ heading: [, , code] }) => code).sort(), [...UPLOAD_ERROR_CODES].sort())
  const plain = await startService(t)
  const { headers } = await put(plain, bytes(10))
  for (const { text, heading: [, status, code] } of sections) {
    await t.test(code!, async t => {
      const service = await PREPARED[code!]?.(t) ?? plain
      for (const block of codeIn(text, 'sh')) {
        const { stdout } = await carryOut(t, service, block, headers.get('location')!)
        const [body, answered] = stdout.trim().split('\n')
        t.same([answered, JSON.parse(body!).error_code], [status, code])
      }
      t.equal(codeIn(text, 'sh').length, code === 'internal_error' ? 0 : 1)
    })
  }
})
