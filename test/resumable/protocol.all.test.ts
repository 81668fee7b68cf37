import { once } from 'node:events'
import t from 'tap'
import type { Test } from 'tap'
import { connect } from '../support/clients/raw-http.ts'
import { answerOf, ask, begin, create, head, isRefused, patch, PIECE } from '../support/resumable/tus.ts'
import type { TusAnswer, TusHeaders } from '../support/resumable/tus.ts'
import { b2Env, bytes, inB2, sha256, startB2, startService } from '../support/service/service.ts'
import type { Answer, TestService } from '../support/service/service.ts'

const MAX = 10_000_000
const UNKNOWN = '/resumable/0197b0f0-6f0a-7c3b-9d51-2f1c8a7be001.mp3'

async function start (t: Test, env: Record<string, string> = {}): Promise<{ b2: Awaited<ReturnType<typeof startB2>>, service: TestService }> {
  const b2 = await startB2(t)
  return { b2, service: await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', UPLOAD_MAX_BYTES: String(MAX), ...env }) }
}

const offsetOf = async (service: TestService, path: string): Promise<number> => Number((await head(service, path)).headers.get('upload-offset'))
const sha256At = async (service: TestService, path: string): Promise<string> => (await (await fetch(`${service.url}${path.replace('resumable', 'uploads')}`)).json() as Answer['body']).track.sha256

t.test('a request without the version of tus is not processed, whatever it asks for', async t => {
  const { service } = await start(t)
  const path = await create(t, service, 10)
  for (const method of ['POST', 'PATCH', 'DELETE']) {
    for (const version of [undefined, '0.2.2']) {
      const answer = await ask(service, method, method === 'POST' ? '/resumable' : path, { ...PIECE, 'upload-offset': 0, 'upload-length': 5, 'tus-resumable': version }, bytes(5))
      isRefused(t, answer, 412, 'precondition_failed')
      t.equal(answer.headers.get('tus-version'), '1.0.0')
    }
  }
  const bare = await ask(service, 'HEAD', path, { 'tus-resumable': undefined })
  t.match([bare.status, bare.headers.get('tus-version'), bare.headers.get('tus-resumable')], [412, '1.0.0', '1.0.0'])
  t.equal(await offsetOf(service, path), 0)
})

t.test('a piece that does not fit is refused, and the upload stays where it is', async t => {
  const { service } = await start(t)
  const content = bytes(100)
  const path = await create(t, service, 100)
  await patch(service, path, 0, content.subarray(0, 40))
  const rows: [TusHeaders, size: number, status: number, code: string, detail: RegExp][] = [
    ...[0, 39, 41, 100].map((offset): [TusHeaders, number, number, string, RegExp] => [{ 'upload-offset': offset }, 10, 409, 'invalid_request', /stands, which is 40/]),
    [{ 'upload-offset': undefined }, 10, 400, 'invalid_request', /no Upload-Offset/],
    ...['-1', '040', '4e1', 'x', '', '40, 40'].map((offset): [TusHeaders, number, number, string, RegExp] => [{ 'upload-offset': offset }, 10, 400, 'invalid_request', /malformed: upload-offset/]),
    ...['application/octet-stream', 'text/plain', 'nonsense', ';'].map((type): [TusHeaders, number, number, string, RegExp] => [{ 'content-type': type }, 10, 415, 'unsupported_media_type', /not application\/offset\+octet-stream/]),
    [{ 'content-type': undefined }, 10, 415, 'unsupported_media_type', /no content type/],
    [{ 'content-encoding': 'gzip' }, 10, 415, 'unsupported_media_type', /content coding/],
    [{}, 61, 413, 'file_too_large', /more bytes than its upload still lacks/],
    [{ 'upload-length': 100 }, 10, 400, 'invalid_request', /can be told once/],
    [{ 'upload-length': 'x' }, 10, 400, 'invalid_request', /malformed: upload-length/],
  ]
  for (const [headers, size, status, code, detail] of rows) {
    await t.test(JSON.stringify(headers), async t => {
      const answer = await patch(service, path, 40, bytes(size), headers)
      isRefused(t, answer, status, code)
      t.match(answer.body.detail, detail)
      t.equal(await offsetOf(service, path), 40)
    })
  }
  const last = await patch(service, path, 40, content.subarray(40))
  t.equal(last.status, 204)
  t.equal(await sha256At(service, path), sha256(content))
})

t.test('a length that comes later is taken once, from the offset up to the largest file', async t => {
  const { service } = await start(t)
  const content = bytes(100)
  const path = await create(t, service, undefined)
  await patch(service, path, 0, content.subarray(0, 40))
  isRefused(t, await patch(service, path, 40, bytes(0), { 'upload-length': 39 }), 400, 'invalid_request')
  isRefused(t, await patch(service, path, 40, bytes(0), { 'upload-length': MAX + 1 }), 413, 'file_too_large')
  isRefused(t, await patch(service, path, 40, bytes(61), { 'upload-length': 100 }), 413, 'file_too_large')
  isRefused(t, await patch(service, path, 40, bytes(MAX)), 413, 'file_too_large')
  t.match((await head(service, path)).headers.get('upload-defer-length'), '1', 'none of these counts')

  t.equal((await patch(service, path, 40, content.subarray(40, 50), { 'upload-length': 100 })).status, 204)
  t.match([(await head(service, path)).headers.get('upload-length'), (await head(service, path)).headers.get('upload-defer-length')], ['100', null])
  isRefused(t, await patch(service, path, 50, bytes(0), { 'upload-length': 100 }), 400, 'invalid_request')
  await patch(service, path, 50, content.subarray(50))
  t.equal(await sha256At(service, path), sha256(content))

  const late = await create(t, service, undefined)
  await patch(service, late, 0, content)
  const told = await patch(service, late, 100, bytes(0), { 'upload-length': 100 })
  t.match([told.status, told.headers.get('content-location')], [204, late.replace('resumable', 'uploads')], 'the length alone completes it')
  t.equal(await sha256At(service, late), sha256(content))
})

t.test('a piece without a length is taken to its end, and no further than the file goes', async t => {
  const { service } = await start(t)
  const content = bytes(3_000_000)
  const path = await create(t, service, content.byteLength)
  const request = begin(service, 'PATCH', path, { ...PIECE, 'upload-offset': 0 })
  request.write(content.subarray(0, 1_000_000))
  request.end(content.subarray(1_000_000, 2_000_000))
  t.match((await answerOf(request)).headers.get('upload-offset'), '2000000')
  const over = begin(service, 'PATCH', path, { ...PIECE, 'upload-offset': 2_000_000 })
  over.end(bytes(1_000_001))
  isRefused(t, await answerOf(over), 413, 'file_too_large')
  const now = await offsetOf(service, path)
  t.ok(now >= 2_000_000 && now <= 3_000_000)
})

t.test('what came before the connection broke is kept', async t => {
  const { b2, service } = await start(t)
  const content = bytes(MAX)
  const path = await create(t, service, MAX)
  const request = begin(service, 'PATCH', path, { ...PIECE, 'upload-offset': 0, 'content-length': MAX })
  request.on('error', () => {})
  request.write(content.subarray(0, 6_000_000))
  while (request.writableLength > 0) await once(request, 'drain')
  request.destroy()
  const offset = await offsetOf(service, path)
  t.ok(offset > 0 && offset <= 6_000_000, `${offset} bytes`)
  const last = await patch(service, path, offset, content.subarray(offset))
  t.equal(last.status, 204)
  t.equal(await sha256At(service, path), sha256(content))
  t.same(inB2(b2).files.map(file => file.sha256), [sha256(content)])
  t.same(b2.unfinishedUploads(), [])
})

t.test('a complete upload says so again, takes nothing more, and is not ended', async t => {
  const { service } = await start(t)
  const content = bytes(100)
  const path = await create(t, service, 100)
  const first = await patch(service, path, 0, content)
  t.match([first.status, first.headers.get('content-location'), first.headers.get('upload-expires')], [204, path.replace('resumable', 'uploads'), null])
  const again = await patch(service, path, 100, bytes(0))
  t.match([again.status, again.headers.get('upload-offset'), again.headers.get('content-location')], [204, '100', path.replace('resumable', 'uploads')])
  isRefused(t, await patch(service, path, 100, bytes(1)), 413, 'file_too_large')
  isRefused(t, await patch(service, path, 0, content), 409, 'invalid_request')
  const chunked = begin(service, 'PATCH', path, { ...PIECE, 'upload-offset': 100 })
  chunked.end('x')
  isRefused(t, await answerOf(chunked), 413, 'file_too_large')
  const empty = begin(service, 'PATCH', path, { ...PIECE, 'upload-offset': 100, 'transfer-encoding': 'chunked' })
  empty.end()
  t.equal((await answerOf(empty)).status, 204)
  isRefused(t, await ask(service, 'DELETE', path), 400, 'invalid_request')
  const { status, headers } = await head(service, path)
  t.match([status, headers.get('upload-offset'), headers.get('upload-length'), headers.get('content-location')], [200, '100', '100', path.replace('resumable', 'uploads')])
  t.equal(service.log.of('upload.stored').length, 1, 'one closing line')

  t.equal((await fetch(`${service.url}${path.replace('resumable', 'uploads')}`, { method: 'DELETE' })).status, 204)
  t.match((await head(service, path)).status, 404, 'as long as the file exists')
})

t.test('an upload that is ended is gone, and so is one that never was', async t => {
  const { b2, service } = await start(t)
  const path = await create(t, service, MAX)
  await patch(service, path, 0, bytes(9_000_000))
  const ended = await ask(service, 'DELETE', path)
  t.match([ended.status, ended.text, ended.headers.get('tus-resumable')], [204, '', '1.0.0'])
  for (const gone of [path, UNKNOWN]) {
    for (const [method, headers] of [['PATCH', { ...PIECE, 'upload-offset': 0 }], ['DELETE', {}]] as const) {
      const answer = await ask(service, method, gone, headers, method === 'PATCH' ? bytes(1) : undefined)
      t.ok(answer.status === 404 || (gone === path && answer.status === 410), `${answer.status}`)
      isRefused(t, answer, answer.status, 'not_found')
    }
    t.match((await head(service, gone)).status, gone === path ? /^4(04|10)$/ : 404)
  }
  t.same(b2.unfinishedUploads(), [])
  t.same(b2.versions(), [])
  t.same(await service.localFiles(), [])
})

t.test('names that nobody makes are not found', async t => {
  const { service } = await start(t)
  for (const name of ['x', 'resumable', '%2e%2e%2fx', 'a%00b', '..%5Cx', 'x'.repeat(80), '__proto__']) {
    const answer = await ask(service, 'PATCH', `/resumable/${name}`, { ...PIECE, 'upload-offset': 0 }, bytes(1))
    isRefused(t, answer, 404, 'not_found')
  }
})

t.test('an upload expires when nothing was added to it for so long', async t => {
  const { service } = await start(t, { RESUMABLE_MAX_AGE_MS: '300' })
  const path = await create(t, service, 100)
  const piece = await patch(service, path, 0, bytes(10))
  t.ok(Date.parse(piece.headers.get('upload-expires')!) <= Date.now() + 300)
  await new Promise(resolve => setTimeout(resolve, 350)) // it is this time that counts
  isGone(t, await patch(service, path, 10, bytes(10)))
  t.match(String((await head(service, path)).status), /^4(04|10)$/)
})

function isGone (t: Test, answer: TusAnswer): void {
  t.match(String(answer.status), /^4(04|10)$/)
  isRefused(t, answer, answer.status, 'not_found')
}

t.test('while a request adds to an upload no other one does', async t => {
  const { service } = await start(t)
  const content = bytes(1_000)
  const path = await create(t, service, 1_000)
  const first = begin(service, 'PATCH', path, { ...PIECE, 'upload-offset': 0, 'content-length': 1_000 })
  const firstAnswer = answerOf(first)
  // It goes on all the time, so that nobody takes it for a dead one.
  let sent = 0
  const timer = setInterval(() => { if (sent < 990) first.write(content.subarray(sent, sent += 1)) }, 20)
  t.teardown(() => { clearInterval(timer) })
  await once(first, 'socket')
  await new Promise<void>(resolve => { first.write(content.subarray(sent, sent += 1), () => resolve()) })
  for (const method of ['PATCH', 'DELETE']) {
    const answer = await ask(service, method, path, method === 'PATCH' ? { ...PIECE, 'upload-offset': 0 } : {}, method === 'PATCH' ? bytes(10) : undefined)
    isRefused(t, answer, 423, 'upload_in_progress')
    t.match(answer.headers.get('retry-after'), /^\d+$/)
  }
  clearInterval(timer)
  first.end(content.subarray(sent))
  t.match((await firstAnswer).status, 204)
  t.equal(await sha256At(service, path), sha256(content))
})

t.test('X-HTTP-Method-Override on a POST is the method', async t => {
  const { service } = await start(t)
  const content = bytes(100)
  const path = await create(t, service, 100)
  const over = async (method: string, headers: TusHeaders = {}, body?: Uint8Array): Promise<TusAnswer> => await ask(service, 'POST', path, { 'x-http-method-override': method, ...headers }, body)
  t.match([(await over('PATCH', { ...PIECE, 'upload-offset': 0 }, content.subarray(0, 40))).headers.get('upload-offset')], ['40'])
  const there = await over('head')
  t.match([there.status, there.headers.get('upload-offset'), there.text], [200, '40', ''])
  isRefused(t, await over('PATCH', { ...PIECE, 'upload-offset': 0 }, content), 409, 'invalid_request')
  t.equal((await over('DELETE')).status, 204)
  for (const method of [undefined, 'GET', 'POST', 'PUT']) isRefused(t, await ask(service, 'POST', path, { 'x-http-method-override': method }), 404, 'not_found')
})

t.test('nothing else is served there', async t => {
  const { service } = await start(t)
  const path = await create(t, service, 100)
  for (const [method, target] of [['GET', path], ['GET', '/resumable'], ['PUT', path], ['PATCH', '/resumable'], ['DELETE', '/resumable']] as const) {
    const { status } = await ask(service, method, target)
    t.equal(status, 404, `${method} ${target}`)
  }
})

t.test('a client that asks whether to send its piece is told so, unless it is refused', async t => {
  const { service } = await start(t)
  const path = await create(t, service, 5)
  const client = await connect(t, service)
  const ahead = (offset: number): string => `PATCH ${path} HTTP/1.1\r\nhost: x\r\ntus-resumable: 1.0.0\r\ncontent-type: ${PIECE['content-type']}\r\nupload-offset: ${offset}\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n`
  const told = once(client.socket, 'data')
  await client.send(ahead(0))
  t.match(String((await told)[0]), /^HTTP\/1\.1 100 /)
  await client.send('hello')
  t.equal((await client.answer())?.status, 204)

  const refused = await connect(t, service)
  await refused.send(ahead(3))
  t.match(await refused.rest(), /^HTTP\/1\.1 409 /, 'at once, without a word of going on')
})

t.test('HTTP/1.0 clients may use it, with a length', async t => {
  const { service } = await start(t)
  const path = await create(t, service, 5)
  const piece = `PATCH ${path} HTTP/1.0\r\ntus-resumable: 1.0.0\r\ncontent-type: ${PIECE['content-type']}\r\nupload-offset: 0\r\n`
  const bare = await connect(t, service)
  await bare.send(`${piece}\r\n`)
  t.equal((await bare.answer())?.status, 411)
  const client = await connect(t, service)
  await client.send(`${piece}content-length: 5\r\n\r\nhello`)
  t.equal((await client.answer())?.status, 204)
})

t.test('a service that shuts down takes no more pieces', async t => {
  const { service } = await start(t, { SHUTDOWN_GRACE_MS: '500' })
  const path = await create(t, service, 100)
  const client = await connect(t, service) // from before
  const slow = begin(service, 'PATCH', path, { ...PIECE, 'upload-offset': 0, 'content-length': 100 })
  const slowAnswer = answerOf(slow)
  const isThere = once(service.app.server, 'request')
  slow.write(bytes(10))
  await isThere
  const closed = service.app.close()
  await client.send('POST /resumable HTTP/1.1\r\nhost: x\r\ntus-resumable: 1.0.0\r\nupload-length: 5\r\n\r\n')
  const answer = await client.answer()
  t.match([answer?.status, answer?.body.error_code, answer?.headers.get('tus-resumable')], [503, 'shutting_down', '1.0.0'])
  const late = await slowAnswer
  t.match([late.status, late.body.error_code], [503, 'shutting_down'])
  await closed
})
