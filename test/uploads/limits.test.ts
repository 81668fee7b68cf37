import t from 'tap'
import { filePart, form, postBody, streamOf } from '../support/forms/forms.ts'
import { connect, isError } from '../support/clients/raw-http.ts'
import { bytes, put, startService } from '../support/service/service.ts'
import { keepLimit, putChunked, SIZES, ways } from '../support/uploads/limits.ts'

const MIB = 1_048_576

keepLimit('B2', [SIZES[1]!, SIZES[4]!])

t.test('a length beyond the limit is refused before the body comes', async t => {
  const service = await startService(t, { UPLOAD_MAX_BYTES: '1000' })
  const client = await connect(t, service)
  await client.send('PUT /uploads/a HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n')
  isError(t, await client.answer(), 413, 'file_too_large')
  const form = await connect(t, service)
  await form.send('POST /uploads HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: 99999999999\r\n\r\n')
  isError(t, await form.answer(), 413, 'file_too_large')
})

t.test('more than UPLOAD_MAX_CONCURRENT uploads are overloaded, and the place of one that ended is free', async t => {
  const service = await startService(t, { UPLOAD_MAX_CONCURRENT: '2' })
  const holders = await Promise.all([connect(t, service), connect(t, service)])
  for (const holder of holders) {
    await holder.send('PUT /uploads/a HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345')
  }
  while (service.app.uploads.inFlight < 2) await new Promise(resolve => setImmediate(resolve))
  for (const upload of Object.values(ways)) {
    const answer = await upload(service, bytes(200_000))
    isError(t, answer, 503, 'overloaded')
    t.match(answer.headers.get('retry-after'), /^[1-9]\d*$/)
  }
  t.equal(service.log.of('upload.failed').length, 4)
  await holders[0]!.send('67890')
  t.equal((await holders[0]!.answer())?.status, 201)
  t.equal((await put(service, bytes(10))).status, 201)
  await holders[1]!.send('67890')
  t.equal((await holders[1]!.answer())?.status, 201)
})

t.test('an error reaches a client that is still sending', async t => {
  const service = await startService(t, { UPLOAD_MAX_BYTES: '1000' })
  const audioOnly = await startService(t, { UPLOAD_ALLOWED_TYPES: 'audio/*' })
  const size = 24 * MIB
  const heads: [name: string, head: string, status: number, code: string][] = [
    ['too large by its length', `PUT /uploads/a HTTP/1.1\r\ncontent-length: ${size}`, 413, 'file_too_large'],
    ['an unknown route', `PUT /nowhere HTTP/1.1\r\ncontent-length: ${size}`, 404, 'not_found'],
    ['not multipart', `POST /uploads HTTP/1.1\r\ncontent-length: ${MIB}`, 415, 'unsupported_media_type'],
    ['a garbled form', `POST /uploads HTTP/1.1\r\ncontent-length: ${MIB}\r\ncontent-type: multipart/form-data`, 400, 'malformed_upload'],
  ]
  for (const [name, head, status, code] of heads) {
    await t.test(`${name}, to a socket that writes before it reads`, async t => {
      const client = await connect(t, service)
      client.socket.pause()
      await client.send(`${head}\r\nhost: x\r\n\r\n`)
      const chunk = Buffer.alloc(65_536)
      const length = Number(/length: (\d+)/.exec(head)![1])
      for (let sent = 0; sent < length; sent += chunk.byteLength) await client.send(chunk)
      client.socket.resume()
      isError(t, await client.answer(), status, code)
    })
  }
  await t.test('to fetch', async t => {
    isError(t, await put(service, Buffer.alloc(size)), 413, 'file_too_large')
    isError(t, await putChunked(service, Buffer.alloc(size)), 413, 'file_too_large')
    isError(t, await putChunked(audioOnly, Buffer.alloc(size)), 415, 'unsupported_media_type')
    isError(t, await postBody(audioOnly, streamOf(form(filePart(Buffer.alloc(size))))), 415, 'unsupported_media_type')
  })
  await t.test('and the connection is closed after it', async t => {
    const client = await connect(t, service)
    await client.send(`PUT /uploads/a HTTP/1.1\r\nhost: x\r\ncontent-length: 2000\r\n\r\n${'x'.repeat(1_000)}`)
    const answer = await client.answer()
    isError(t, answer, 413, 'file_too_large')
    t.equal(answer?.headers.get('connection'), 'close')
    await client.send('x'.repeat(1_000))
    t.equal(await client.rest(), '')
  })
  t.same(await service.localFiles(), [])
})
