import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { filePart, form, postBody, streamOf } from '../support/forms/forms.ts'
import { quiet } from '../support/run/quiet.ts'
import { connect, isError } from '../support/clients/raw-http.ts'
import { b2Env, bytes, put, sha256, startB2, startService } from '../support/service/service.ts'
import type { Answer, TestService } from '../support/service/service.ts'

const MIB = 1_048_576

async function putChunked (service: Pick<TestService, 'url'>, content: Uint8Array): Promise<Answer> {
  const response = await fetch(`${service.url}/uploads/a.bin`, { method: 'PUT', body: streamOf(content), duplex: 'half' } as RequestInit)
  return { status: response.status, headers: response.headers, body: await response.json() }
}

const ways: Record<string, (service: TestService, content: Buffer) => Promise<Answer>> = {
  'PUT with its length': put,
  'PUT without a length': putChunked,
  'POST with its length': (service, content) => postBody(service, form(filePart(content))),
  'POST without a length': (service, content) => postBody(service, streamOf(form(filePart(content)))),
}

const PART = 5 * MIB
const WINDOW = 10 * MIB
const SIZES = [1, 1_000, PART - 1, PART, PART + MIB + 17, WINDOW + 2 * MIB]

for (const mode of ['B2', 'local-only']) {
  t.test(`UPLOAD_MAX_BYTES is exact to the byte in ${mode} mode, and nothing is left of a larger file`, async t => {
    const b2 = await startB2(t)
    for (const max of SIZES) {
      const service = await startService(t, {
        UPLOAD_MAX_BYTES: String(max),
        B2_PART_BYTES: String(PART),
        REPLAY_WINDOW_BYTES: String(WINDOW),
        ...(mode === 'B2' ? { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000' } : {}),
      })
      const most = bytes(max)
      const tooMuch = Buffer.concat([most, Buffer.from('x')])
      for (const [name, upload] of Object.entries(ways)) {
        await t.test(`${name}, at most ${max} bytes`, async t => {
          const refused = await upload(service, tooMuch)
          isError(t, refused, 413, 'file_too_large')
          await quiet(b2) // the clean-up is in the background
          t.same(b2.versions(), [])
          t.same(await service.localFiles(), [])
          t.match(service.log.of('upload.failed').at(-1), { error_code: 'file_too_large', level: 40, correlation_id: refused.body.correlation_id })

          const accepted = await upload(service, most)
          t.equal(accepted.status, 201)
          t.equal(accepted.body.track.sha256, sha256(most))
          t.equal(accepted.body.track.size_bytes, max)
          b2.reset()
          await rm(join(service.dir, 'tracks'), { recursive: true, force: true })
        })
      }
    }
  })
}

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
