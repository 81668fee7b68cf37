import t from 'tap'
import type { Test } from 'tap'
import { wav } from '../../scripts/samples/audio.ts'
import { contentPath, download, request } from '../support/clients/download.ts'
import type { Download, Server } from '../support/clients/download.ts'
import { CALM, KIB, MIB, PART, setPromotionStage } from '../support/promotion/promotion.ts'
import { connect, isError } from '../support/clients/raw-http.ts'
import { b2Env, bytes, inB2, put, sha256, startService } from '../support/service/service.ts'
import type { TestService } from '../support/service/service.ts'

const SONG = wav({ seconds: 1, title: 'Song' })
const FILES: readonly [content: Uint8Array, name: string, type: string][] = [
  [SONG, 'Lied ☂ 夢.wav', 'audio/wav'],
  [bytes(0), 'nothing', 'application/octet-stream'],
  [bytes(PART), 'a part.bin', 'application/octet-stream'],
  [wav({ seconds: 1, title: 'Long', minBytes: 6 * MIB }), 'long.wav', 'audio/wav'],
]

/** Headers that every answer has. */
const OF_ANSWERS = [
  'date', 'connection', 'keep-alive', 'x-correlation-id', 'content-security-policy', 'cross-origin-opener-policy', 'cross-origin-resource-policy',
  'origin-agent-cluster', 'referrer-policy', 'x-dns-prefetch-control', 'x-download-options', 'x-frame-options', 'x-permitted-cross-domain-policies', 'x-xss-protection',
]

/** Headers that are of the file, rather than of the answer. */
function ofFile ({ headers }: Pick<Download, 'headers'>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !OF_ANSWERS.includes(name)))
}

interface Kept { readonly track: any, readonly content: Uint8Array, readonly type: string }

async function store (service: TestService): Promise<Kept[]> {
  const kept = []
  for (const [content, name, type] of FILES) kept.push({ track: (await put(service, content, name)).body.track, content, type })
  return kept
}

/** GET and HEAD of each file say all that the contract asks for, and the bytes are those that were sent. Returns the headers. */
async function isServed (t: Test, service: Server, kept: readonly Kept[]): Promise<unknown[]> {
  const headers = []
  for (const { track, content, type } of kept) {
    const path = contentPath(track.key)
    const answer = await download(service, path)
    t.match(answer, { status: 200, isWhole: true }, track.filename)
    t.equal(sha256(answer.body), sha256(content), 'the bytes')
    t.strictSame(Object.entries(ofFile(answer)).sort(), Object.entries({
      'accept-ranges': 'bytes',
      'cache-control': 'private, no-cache',
      'content-disposition': answer.headers['content-disposition'],
      'content-length': String(content.byteLength),
      'content-type': type,
      etag: `"${sha256(content)}"`,
      'last-modified': new Date(Date.parse(track.uploaded_at.slice(0, 19) + 'Z')).toUTCString(),
      'repr-digest': `sha-256=:${Buffer.from(sha256(content), 'hex').toString('base64')}:`,
      'x-content-type-options': 'nosniff',
    }).sort(), 'the headers')
    const head = await download(service, path, { method: 'HEAD' })
    t.match(head, { status: 200, isWhole: true })
    t.equal(head.body.byteLength, 0)
    t.strictSame(ofFile(head), ofFile(answer), 'HEAD says the same')
    if (content.byteLength > 0) await isServedInParts(t, service, path, content, ofFile(answer))
    headers.push(ofFile(answer))
  }
  return headers
}

async function isServedInParts (t: Test, service: Server, path: string, content: Uint8Array, whole: Record<string, unknown>): Promise<void> {
  const size = content.byteLength
  for (const [first, last] of [[0, 0], [1_000, size - 1], [size - 1, size - 1], [Math.floor(size / 3), Math.floor(size / 2)]] as const) {
    const answer = await download(service, path, { headers: { range: `bytes=${first}-${last}` } })
    t.match(answer, { status: 206, isWhole: true })
    t.equal(sha256(answer.body), sha256(content.subarray(first, last + 1)), `the bytes ${first} to ${last}`)
    t.strictSame(ofFile(answer), { ...whole, 'content-length': String(last - first + 1), 'content-range': `bytes ${first}-${last}/${size}` })
  }
}

t.test('a file is served from B2, also after a restart and by a service elsewhere', async t => {
  const { b2, service } = await setPromotionStage(t)
  const kept = await store(service)
  t.equal(inB2(b2).files.length, 4)
  const headers = await isServed(t, service, kept)
  await service.app.close()
  const again = await startService(t, { ...b2Env(b2), ...CALM, LOCAL_STORAGE_DIR: service.dir })
  t.strictSame(await isServed(t, again, kept), headers)
  const elsewhere = await startService(t, { ...b2Env(b2), ...CALM })
  t.strictSame(await isServed(t, elsewhere, kept), headers)
})

t.test('a file that fell back is served from local storage, and a promotion changes nothing about it', async t => {
  const { b2, service, uploads } = await setPromotionStage(t)
  const down = b2.fault({ status: 503, times: Infinity })
  const kept = await store(service)
  const headers = await isServed(t, service, kept)
  await service.app.close()
  const again = await startService(t, { ...b2Env(b2), ...CALM, LOCAL_STORAGE_DIR: service.dir })
  t.strictSame(await isServed(t, again, kept), headers, 'the same after a restart')
  t.notOk(b2.requests.some(({ operation }) => operation === 'GetObject' || operation === 'HeadObject'), 'nobody asked B2')

  down.cancel()
  t.match(await again.app.uploads.promote(), { promoted: 4, pending: 0 })
  t.same(await again.localFiles(), [])
  t.strictSame(await isServed(t, again, kept), headers, 'the same from B2')
  await again.app.close()
  const third = await startService(t, { ...b2Env(b2), ...CALM, LOCAL_STORAGE_DIR: service.dir })
  t.strictSame(await isServed(t, third, kept), headers, 'and after another restart')
  t.equal(uploads.heldBytes, 0)
})

t.test('in local-only mode it is served, too', async t => {
  const service = await startService(t)
  const kept = await store(service)
  const headers = await isServed(t, service, kept)
  await service.app.close()
  t.strictSame(await isServed(t, await startService(t, { LOCAL_STORAGE_DIR: service.dir }), kept), headers)
})

t.test('the file name is told so that every client can read it, and is never more than a name', async t => {
  const service = await startService(t)
  const names: [name: string, header: string][] = [
    ['song.mp3', 'attachment; filename=song.mp3'],
    ['a song.mp3', 'attachment; filename="a song.mp3"'],
    ['Lied ☂.mp3', 'attachment; filename="Lied ?.mp3"; filename*=UTF-8\'\'Lied%20%E2%98%82.mp3'],
    ['say "x"; filename=y.exe', 'attachment; filename="say \\"x\\"; filename=y.exe"'],
    ['100%41.mp3', 'attachment; filename=100%41.mp3; filename*=UTF-8\'\'100%2541.mp3'],
    ['a\r\nset-cookie: x.mp3', 'attachment; filename="aset-cookie: x.mp3"'],
    ['../../etc/passwd', 'attachment; filename=passwd'],
  ]
  for (const [name, header] of names) {
    const { body } = await put(service, bytes(1), name)
    const { headers } = await download(service, contentPath(body.track.key), { method: 'HEAD' })
    t.equal(headers['content-disposition'], header)
  }
  const { body } = await put(service, bytes(1), `${'夢'.repeat(250)}.mp3`)
  const { headers } = await download(service, contentPath(body.track.key))
  t.equal(decodeURIComponent(headers['content-disposition']!.split('UTF-8\'\'')[1]!), body.track.filename, 'a long name, too')
})

t.test('a name that is none, and a file that is none, are not found, in the shape of every error', async t => {
  const { b2, service } = await setPromotionStage(t)
  const { body } = await put(service, bytes(KIB), 'a.mp3')
  const requests = b2.requests.length
  const names = ['x', `${body.track.id}.MP3`, `${body.track.id}.mp3.receipt.json`, `tracks%2f${body.track.id}.mp3`, '..%2fa', '%2e%2e', `.${body.track.id}.mp3.part`]
  for (const name of names) await isNotFound(t, service, `/uploads/${name}/content`)
  t.equal(b2.requests.length, requests, 'nobody asked B2')
  await isNotFound(t, service, contentPath(body.track.id))
  await isNotFound(t, service, contentPath(body.track.key.replace('-7', '-70').slice(0, -5)))
  t.equal(service.log.lines.filter(({ level }) => level >= 40).length, 0)
})

async function isNotFound (t: Test, service: TestService, path: string): Promise<void> {
  const client = await connect(t, service)
  await client.send(`GET ${path} HTTP/1.1\r\nhost: x\r\nrange: bytes=0-1\r\nif-none-match: *\r\n\r\n`)
  const answer = await client.answer()
  isError(t, answer, 404, 'not_found')
  for (const name of ['etag', 'last-modified', 'content-disposition', 'accept-ranges', 'repr-digest']) t.notOk(answer!.headers.has(name), name)
  const head = await download(service, path, { method: 'HEAD' })
  t.match(head, { status: 404, isWhole: true, headers: { 'content-type': /^application\/json/, 'content-length': /^\d+$/ } })
}

t.test('one connection serves one file after another, errors in between', async t => {
  const { service } = await setPromotionStage(t)
  const content = Buffer.from('A file of text.')
  const { body } = await put(service, content, 'a.txt')
  const client = await connect(t, service)
  const ask = async (method: string, path: string, header = '') => {
    await client.send(`${method} ${path} HTTP/1.1\r\nhost: x\r\n${header}\r\n`)
    return await client.answer()
  }
  const path = contentPath(body.track.key)
  t.match(await ask('GET', path), { status: 200, text: content.toString() })
  t.match(await ask('GET', path, 'range: bytes=99-\r\n'), { status: 416, body: { error_code: 'range_not_satisfiable' } })
  t.match(await ask('GET', path, 'if-none-match: *\r\n'), { status: 304 })
  t.match(await ask('GET', path, 'range: bytes=2-5\r\n'), { status: 206, text: 'file' })
  t.match(await ask('GET', contentPath('x')), { status: 404 })
  t.match(await ask('GET', path), { status: 200, text: content.toString() })
})

t.test('with API keys it needs one', async t => {
  const service = await startService(t, { API_KEYS: 'a-key-of-some-length' })
  const authorization = 'Bearer a-key-of-some-length'
  const { body } = await put(service, bytes(10), 'a', { authorization })
  const path = contentPath(body.track.key)
  t.match(await download(service, path), { status: 401 })
  t.match(await download(service, path, { method: 'HEAD' }), { status: 401 })
  t.match(await download(service, path, { headers: { authorization } }), { status: 200 })
  const answer = await request(service, path, { headers: { 'x-correlation-id': 'mine', authorization } })
  t.equal(answer.resume().headers['x-correlation-id'], 'mine')
})
