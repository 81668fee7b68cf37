import t from 'tap'
import { connect, isError } from '../support/clients/raw-http.ts'
import { bytes, sha256, startService } from '../support/service/service.ts'

const FILE = bytes(1_000)
const FORM = Buffer.from('--b\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n--b--\r\n')
const AS_FORM = 'content-type: multipart/form-data; boundary=b\r\n'

/** A request with its body. */
function request (line: string, headers: string, body: Buffer, length: string | undefined = `content-length: ${body.byteLength}\r\n`): Buffer {
  return Buffer.concat([Buffer.from(`${line}\r\nhost: x\r\n${headers}${length ?? ''}\r\n`), body])
}

t.test('a piece of a file is refused, as it would be stored as if it were all of it', async t => {
  const service = await startService(t)
  for (const header of [
    'content-range: bytes 0-999/5000', 'content-range: bytes 4000-4999/5000', 'content-range: bytes */5000', 'upload-complete: ?0', 'Upload-Complete:  ?0;x=1',
    'upload-incomplete: ?1', 'upload-offset: 1000', 'upload-offset: x',
  ]) {
    for (const [line, headers, body] of [['PUT /uploads/a.bin HTTP/1.1', '', FILE], ['POST /uploads HTTP/1.1', AS_FORM, FORM]] as const) {
      const client = await connect(t, service)
      await client.send(request(line, `${headers}${header}\r\n`, body))
      isError(t, await client.answer(), 400, 'invalid_request')
    }
  }
  t.same(await service.localFiles(), [])
  t.equal(service.log.of('upload.failed').length, 16, 'each has its closing line')
})

t.test('what says that it is whole is taken', async t => {
  const service = await startService(t)
  for (const header of ['upload-complete: ?1', 'upload-incomplete: ?0', 'upload-offset: 0', 'upload-length: 1000']) {
    for (const [line, headers, body, content] of [['PUT /uploads/a.bin HTTP/1.1', '', FILE, FILE], ['POST /uploads HTTP/1.1', AS_FORM, FORM, Buffer.from('hello')]] as const) {
      const client = await connect(t, service)
      await client.send(request(line, `${headers}${header}\r\n`, body))
      t.match(await client.answer(), { status: 201, body: { track: { sha256: sha256(content) } } }, header)
    }
  }
})

t.test('an HTTP/1.0 upload needs a length', async t => {
  const service = await startService(t)
  for (const [line, headers, body] of [
    ['PUT /uploads/a.bin HTTP/1.0', '', FILE], ['PUT /uploads/a.bin HTTP/1.0', 'connection: keep-alive\r\n', FILE], ['PUT /uploads/empty HTTP/1.0', '', Buffer.alloc(0)],
    ['POST /uploads HTTP/1.0', AS_FORM, FORM],
  ] as const) {
    const client = await connect(t, service)
    await client.send(request(line, headers, body, ''))
    const answer = await client.answer()
    isError(t, answer, 411, 'invalid_request')
    t.equal(answer?.headers.get('connection'), 'close')
  }
  t.same(await service.localFiles(), [])
})

t.test('transfer codings are refused in HTTP/1.0', async t => {
  const service = await startService(t)
  for (const [line, headers] of [
    ['PUT /uploads/a.bin HTTP/1.0', ''], ['PUT /uploads/a.bin HTTP/1.0', 'connection: keep-alive\r\n'], ['POST /uploads HTTP/1.0', AS_FORM], ['GET /health HTTP/1.0', 'connection: keep-alive\r\n'],
  ] as const) {
    const client = await connect(t, service)
    await client.send(`${line}\r\nhost: x\r\n${headers}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`)
    const answer = await client.answer()
    isError(t, answer, 400, 'invalid_request')
    t.equal(answer?.headers.get('connection'), 'close')
  }
  t.same(await service.localFiles(), [])
})

t.test('HTTP/1.0 uploads with a length are taken, and HTTP/1.1 without a body is an empty file', async t => {
  const service = await startService(t)
  for (const [line, headers, body, content] of [
    ['PUT /uploads/a.bin HTTP/1.0', '', FILE, FILE], ['POST /uploads HTTP/1.0', AS_FORM, FORM, Buffer.from('hello')], ['PUT /uploads/a.bin HTTP/1.0', '', Buffer.alloc(0), Buffer.alloc(0)],
  ] as const) {
    const client = await connect(t, service)
    await client.send(request(line, headers, body))
    t.match(await client.answer(), { status: 201, body: { track: { sha256: sha256(content) } } }, line)
  }
  const client = await connect(t, service)
  await client.send(request('PUT /uploads/empty HTTP/1.1', '', Buffer.alloc(0), ''))
  t.match(await client.answer(), { status: 201, body: { track: { size_bytes: 0 } } })
})

t.test('Range counts for GET alone', async t => {
  const service = await startService(t)
  const client = await connect(t, service)
  await client.send(request('PUT /uploads/a.bin HTTP/1.1', '', FILE))
  const path = `${(await client.answer())!.headers.get('location')}/content`
  for (const range of ['bytes=2-4', 'bytes=5000-', 'bytes=x', 'bytes=-1']) {
    const other = await connect(t, service)
    await other.send(`HEAD ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nrange: ${range}\r\n\r\n`)
    const head = await other.rest()
    t.match(head, /^HTTP\/1\.1 200 OK/, range)
    t.match(head, /\r\ncontent-length: 1000\r\n/i)
    t.notMatch(head, /content-range/i)
  }
  await client.send(`GET ${path} HTTP/1.1\r\nhost: x\r\nrange: bytes=2-4\r\n\r\n`)
  t.equal((await client.answer())?.status, 206)
})
