import t from 'tap'
import type { Test } from 'tap'
import { answerOf, ask, begin, create, head, isRefused, metadata, PIECE } from '../support/resumable/tus.ts'
import type { TusAnswer, TusHeaders } from '../support/resumable/tus.ts'
import { b2Env, bytes, inB2, sha256, startB2, startService } from '../support/service/service.ts'
import type { LogLine, TestService } from '../support/service/service.ts'

const MAX = 10_000_000

async function start (t: Test, env: Record<string, string> = {}): Promise<{ b2: Awaited<ReturnType<typeof startB2>>, service: TestService }> {
  const b2 = await startB2(t)
  return { b2, service: await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', UPLOAD_MAX_BYTES: String(MAX), ...env }) }
}

const post = async (service: TestService, headers: TusHeaders, content?: Uint8Array): Promise<TusAnswer> => await ask(service, 'POST', '/resumable', headers, content)
const receiptOf = async (service: TestService, { headers }: TusAnswer): Promise<any> => await (await fetch(`${service.url}${headers.get('content-location')}`)).json()

t.test('an upload is created with its length, or says that the length comes later', async t => {
  const { service } = await start(t)
  const before = Math.floor(Date.now() / 1_000) * 1_000
  const { status, headers, text } = await post(service, { 'upload-length': MAX })
  t.equal(status, 201)
  t.equal(text, '')
  t.match(headers.get('location'), /^\/resumable\/[0-9a-f-]{36}$/, 'a path, as a proxy before the service may have another name and scheme')
  t.notOk(headers.has('upload-offset'), 'it brought nothing')
  t.notOk(headers.has('content-location'))
  const expires = Date.parse(headers.get('upload-expires')!)
  t.ok(expires >= before + 86_400_000 && expires <= Date.now() + 86_400_000, 'a day')
  t.match(headers.get('upload-expires'), / GMT$/)
  t.same([...headers.keys()].filter(name => name.startsWith('access-control-')), [])
  t.equal(headers.get('tus-resumable'), '1.0.0')

  const deferred = await head(service, await create(t, service, undefined))
  t.match([deferred.headers.get('upload-defer-length'), deferred.headers.get('upload-length')], ['1', null])
  const known = await head(service, headers.get('location')!)
  t.match([known.headers.get('upload-defer-length'), known.headers.get('upload-length'), known.headers.get('upload-metadata')], [null, String(MAX), null])
})

t.test('what tus does not allow is refused, and says so in the service\'s shape', async t => {
  const { service } = await start(t)
  const rows: [TusHeaders, status: number, code: string, detail: RegExp][] = [
    [{}, 400, 'invalid_request', /either Upload-Length or Upload-Defer-Length/],
    [{ 'upload-length': 1, 'upload-defer-length': 1 }, 400, 'invalid_request', /either Upload-Length or Upload-Defer-Length/],
    ...['-1', '1.5', '01', '1e3', 'x', '', '9007199254740993', '99999999999999999999999'].map((length): [TusHeaders, number, string, RegExp] =>
      [{ 'upload-length': length }, 400, 'invalid_request', /malformed: upload-length/]),
    [{ 'upload-length': ['1', '1'] }, 400, 'invalid_request', /malformed: upload-length/],
    ...['0', '2', 'true'].map((defer): [TusHeaders, number, string, RegExp] => [{ 'upload-defer-length': defer }, 400, 'invalid_request', /malformed: upload-defer-length/]),
    [{ 'upload-length': MAX + 1 }, 413, 'file_too_large', /more than 10000000 bytes/],
    [{ 'upload-length': 10, 'upload-concat': 'partial' }, 501, 'invalid_request', /concatenation/],
    [{ 'upload-concat': 'final;/resumable/a /resumable/b' }, 501, 'invalid_request', /concatenation/],
    [{ 'upload-length': 1, 'tus-resumable': undefined }, 412, 'precondition_failed', /no Tus-Resumable/],
    ...['0.2.2', '1.0.1', '2.0.0', '1.0'].map((version): [TusHeaders, number, string, RegExp] => [{ 'upload-length': 1, 'tus-resumable': version }, 412, 'precondition_failed', /1\.0\.0 is spoken here/]),
  ]
  for (const [headers, status, code, detail] of rows) {
    await t.test(JSON.stringify(headers), async t => {
      const answer = await post(service, headers)
      isRefused(t, answer, status, code)
      t.match(answer.body.detail, detail)
      t.equal(answer.headers.get('tus-version'), status === 412 ? '1.0.0' : null)
      t.notOk(answer.headers.has('location'))
      t.match(service.log.of('upload.failed').at(-1), { error_code: code, correlation_id: answer.body.correlation_id }, 'its closing line')
    })
  }
  t.same(await service.localFiles(), [])
})

t.test('Upload-Metadata says what the file is, and the rest of it is kept with the file', async t => {
  const { service } = await start(t)
  const content = Buffer.from('just text')
  const rows: [Record<string, string>, filename: string, type: string, fields: Record<string, string>][] = [
    [{}, 'file', 'application/octet-stream', {}],
    [{ filename: 'a.txt', filetype: 'text/plain' }, 'a.txt', 'text/plain', {}],
    [{ name: 'b.txt', type: 'text/csv' }, 'b.txt', 'text/csv', {}],
    // As Uppy has it.
    [{ relativePath: 'null', name: 'n.txt', type: 'text/csv', filetype: 'text/plain', filename: 'f.txt' }, 'f.txt', 'text/plain', { relativePath: 'null' }],
    [{ filename: '../Zoë 🎵.mp3', album: 'Ä', empty: '', 7: 'seven' }, 'Zoë 🎵.mp3', 'application/octet-stream', { album: 'Ä', empty: '', 7: 'seven' }],
  ]
  for (const [pairs, filename, type, fields] of rows) {
    const header = Object.keys(pairs).length === 0 ? undefined : metadata(pairs)
    const path = await create(t, service, content.byteLength, { 'upload-metadata': header })
    const there = (await head(service, path)).headers.get('upload-metadata')
    t.same(there?.split(',').map(pair => pair.trim()).sort(), header?.split(',').map(pair => pair.trim()).sort(), 'it is given back')
    const done = await ask(service, 'PATCH', path, { ...PIECE, 'upload-offset': 0 }, content)
    t.match((await receiptOf(service, done)).track, { filename, content_type: type })
    t.same((await receiptOf(service, done)).track.metadata, fields)
    const whole = await post(service, { ...PIECE, 'upload-length': content.byteLength, 'upload-metadata': header }, content)
    t.match((await receiptOf(service, whole)).track, { filename, content_type: type, metadata: fields })
  }
  t.equal((await post(service, { 'upload-length': 1, 'upload-metadata': '' })).status, 201, 'an empty header is none')
  t.equal((await post(service, { 'upload-length': 1, 'upload-metadata': 'is_draft' })).status, 201, 'a name may have no value')
})

t.test('metadata that is malformed, or more than a form may have, is refused', async t => {
  const { service } = await start(t)
  const many = (count: number, value = ''): string => metadata(Object.fromEntries(Array.from({ length: count }, (_, index) => [`f${index}`, value])))
  const rows: [string | string[], RegExp][] = [
    ...['a b', 'a YQ', 'a YQ== x', 'a YQ=,', ',', 'ä YQ==', 'a YQ==,  YQ==', 'a  YQ==', 'a YQ==, b YQ==', 'a YQ==,a YQ==', 'a Y*==', 'toString YQ==', '__proto__ YQ=='].map((text): [string, RegExp] =>
      [text, /malformed: upload-metadata/]),
    [metadata({ a: Buffer.from([0xff]) }), /"a" in Upload-Metadata is not UTF-8/],
    [metadata({ filename: Buffer.from([0xc3]) }), /"filename" in Upload-Metadata is not UTF-8/],
    [many(33), /more than 32 text fields/],
    [metadata({ ['n'.repeat(65)]: 'x' }), /name has more than 64 bytes/],
    [metadata({ a: 'x'.repeat(1_025) }), /"a" has more than 1024 bytes/],
    [many(9, 'x'.repeat(1_000)), /more than 8192 bytes together/],
  ]
  for (const [header, detail] of rows) {
    const answer = await post(service, { 'upload-length': 1, 'upload-metadata': Buffer.from(String(header)).toString('latin1') })
    isRefused(t, answer, 400, 'invalid_request')
    t.match(answer.body.detail, detail, String(header).slice(0, 40))
  }
  const most = `${many(32, 'x'.repeat(256))},${metadata({ filename: 'a.mp3', filetype: 'audio/mpeg', name: 'a', type: 'b' })}`
  t.equal((await post(service, { 'upload-length': 1, 'upload-metadata': most })).status, 201, 'what is no text field does not count')
})

t.test('a creation that brings the whole file is answered with the file\'s place', async t => {
  const { b2, service } = await start(t)
  for (const size of [0, 1, 9_000_000]) {
    const content = bytes(size)
    const answer = await post(service, { ...PIECE, 'upload-length': size, 'upload-metadata': metadata({ filename: 'a.mp3' }) }, content)
    t.match([answer.status, answer.headers.get('upload-offset')], [201, String(size)])
    const path = answer.headers.get('location')!
    t.equal(answer.headers.get('content-location'), path.replace('resumable', 'uploads'))
    t.notOk(answer.headers.has('upload-expires'))
    t.match(await receiptOf(service, answer), { storage: 'b2', track: { size_bytes: size, sha256: sha256(content), filename: 'a.mp3' } })
    t.match(Object.fromEntries((await head(service, path)).headers), { 'upload-offset': String(size), 'upload-length': String(size), 'content-location': path.replace('resumable', 'uploads') })
  }
  t.same(b2.unfinishedUploads(), [])
  t.same(service.log.of('upload.stored').map(({ size_bytes: size }: LogLine) => size), [0, 1, 9_000_000], 'each has one closing line')
})

t.test('one that brings the first bytes says how many of them are safe', async t => {
  const { service } = await start(t)
  const content = bytes(300_000)
  for (const length of [300_000, undefined]) {
    for (const isChunked of [false, true]) {
      const said = { ...(length === undefined ? { 'upload-defer-length': 1 } : { 'upload-length': length }), ...PIECE }
      const request = begin(service, 'POST', '/resumable', { ...said, ...(isChunked ? {} : { 'content-length': 100_000 }) })
      request.end(content.subarray(0, 100_000))
      const answer = await answerOf(request)
      t.match([answer.status, answer.headers.get('upload-offset'), answer.headers.get('content-location')], [201, '100000', null])
      t.ok(answer.headers.has('upload-expires'))
      const path = answer.headers.get('location')!
      t.equal((await head(service, path)).headers.get('upload-offset'), '100000')
      const done = await ask(service, 'PATCH', path, { ...PIECE, 'upload-offset': 100_000, 'upload-length': length === undefined ? 300_000 : undefined }, content.subarray(100_000))
      t.equal((await receiptOf(service, done)).track.sha256, sha256(content))
    }
  }
})

t.test('an empty file is complete at once, with no body and with an empty one', async t => {
  const { service } = await start(t)
  for (const headers of [{}, { 'content-type': 'text/plain' }, PIECE]) {
    const answer = await post(service, { 'upload-length': 0, ...headers })
    t.equal(answer.status, 201)
    t.match((await receiptOf(service, answer)).track, { size_bytes: 0, sha256: sha256(bytes(0)) })
  }
  const chunked = begin(service, 'POST', '/resumable', { 'upload-length': 0, ...PIECE })
  chunked.end('x')
  isRefused(t, await answerOf(chunked), 413, 'file_too_large')
})

t.test('a body of another type is not the file\'s, and an empty one adds nothing', async t => {
  const { service } = await start(t)
  for (const type of ['application/json', 'nonsense', ';;;', 'application/octet-stream', 'multipart/form-data; boundary=x']) {
    const answer = await post(service, { 'upload-length': 5, 'content-type': type }, Buffer.from('hello'))
    t.match([answer.status, answer.headers.get('upload-offset')], [201, null], type)
    t.equal((await head(service, answer.headers.get('location')!)).headers.get('upload-offset'), '0')
  }
  const empty = await post(service, { ...PIECE, 'upload-length': 5 }, bytes(0))
  t.match([empty.status, empty.headers.get('upload-offset')], [201, '0'])
})

t.test('a creation with more bytes than the file may have leaves nothing', async t => {
  const { b2, service } = await start(t)
  isRefused(t, await post(service, { ...PIECE, 'upload-length': 5 }, bytes(6)), 413, 'file_too_large')
  isRefused(t, await post(service, { ...PIECE, 'upload-defer-length': 1 }, bytes(MAX + 1)), 413, 'file_too_large')
  for (const headers of [{ 'upload-length': 5 }, { 'upload-defer-length': 1 }]) {
    const request = begin(service, 'POST', '/resumable', { ...PIECE, ...headers })
    request.end(bytes(MAX + 1))
    isRefused(t, await answerOf(request), 413, 'file_too_large')
  }
  t.same(b2.unfinishedUploads(), [])
  t.same(inB2(b2).files, [])
  t.same(await service.localFiles(), [])
})

t.test('a body that is coded, or whose type is not allowed, is 415', async t => {
  const { b2, service } = await start(t, { UPLOAD_ALLOWED_TYPES: 'audio/*' })
  const coded = await post(service, { ...PIECE, 'upload-length': 500, 'content-encoding': 'gzip' }, bytes(100))
  isRefused(t, coded, 415, 'unsupported_media_type')
  t.match(coded.body.detail, /content coding/)
  isRefused(t, await post(service, { ...PIECE, 'upload-length': 5, 'upload-metadata': metadata({ filetype: 'text/plain' }) }, Buffer.from('hello')), 415, 'unsupported_media_type')
  t.same(inB2(b2).files, [])
})
