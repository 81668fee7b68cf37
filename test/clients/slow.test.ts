import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { begin, bodyOf, send } from '../support/clients/leaving-client.ts'
import { quiet } from '../support/run/quiet.ts'
import { BOUNDARY } from '../support/forms/forms.ts'
import { connect, isError } from '../support/clients/raw-http.ts'
import type { RawClient } from '../support/clients/raw-http.ts'
import { b2Env, bytes, inB2, put, sha256, startB2, startService } from '../support/service/service.ts'

const MIB = 1_048_576
const IDLE = { UPLOAD_IDLE_TIMEOUT_MS: '300', B2_STALL_TIMEOUT_MS: '10000', B2_PART_BYTES: String(5 * MIB) }

function head (method: 'PUT' | 'POST', length: number): string {
  const type = method === 'PUT' ? 'application/octet-stream' : `multipart/form-data; boundary=${BOUNDARY}`
  return `${method} ${method === 'PUT' ? '/uploads/a.bin' : '/uploads'} HTTP/1.1\r\nhost: x\r\ncontent-type: ${type}\r\ncontent-length: ${length}\r\n\r\n`
}

/** Sends a little again and again until the service has answered, or all is sent. */
async function trickle (client: RawClient, body: Uint8Array, chunkBytes: number, everyMs: number): Promise<void> {
  const answered = new AbortController()
  client.socket.once('data', () => { answered.abort() })
  for (let sent = 0; !answered.signal.aborted && sent < body.byteLength; sent += chunkBytes) {
    await setTimeout(everyMs)
    await client.send(body.subarray(sent, sent + chunkBytes))
  }
}

for (const mode of ['B2', 'local-only']) {
  t.test(`a client that stops is told upload_stalled wherever it stops, and nothing is left, in ${mode} mode`, async t => {
    const b2 = await startB2(t)
    const service = await startService(t, { ...(mode === 'B2' ? b2Env(b2) : {}), ...IDLE })
    const small = Buffer.from(bodyOf('POST', bytes(1_000)))
    const large = Buffer.from(bodyOf('POST', bytes(6 * MIB)))
    const raw = bytes(6 * MIB)
    const places: [name: string, method: 'PUT' | 'POST', body: Buffer, sent: number][] = [
      ['before the first byte of a body', 'PUT', raw, 0],
      ['before the first byte of a form', 'POST', small, 0],
      ['in a text field before the file', 'POST', small, small.indexOf('before')],
      ['in the headers of the file', 'POST', small, small.indexOf('filename')],
      ['at the first byte of the file', 'POST', small, small.indexOf('octet-stream') + 16],
      ['in the middle of a small file', 'POST', small, small.indexOf('octet-stream') + 500],
      ['between the file and the end of the form', 'POST', small, small.indexOf('after') - 40],
      ['in the end of the form', 'POST', small, small.byteLength - 3],
      ['in the second part of a large body', 'PUT', raw, 5.5 * MIB],
      ['one byte before the end of a large body', 'PUT', raw, 6 * MIB - 1],
      ['in the second part of a large form', 'POST', large, 5.5 * MIB],
    ]
    t.jobs = places.length // each waits until it is told
    await Promise.all(places.map(async ([name, method, body, sent]) => {
      await t.test(name, { buffered: true }, async t => {
        const client = await connect(t, service)
        await client.send(head(method, body.byteLength))
        await client.send(body.subarray(0, sent))
        const answer = await client.answer()
        isError(t, answer, 408, 'upload_stalled')
        const lines = service.log.of('upload.failed').filter(({ correlation_id: id }) => id === answer?.body.correlation_id)
        t.match(lines, [{ level: 40, error_code: 'upload_stalled' }])
        client.socket.destroy()
      })
    }))
    t.equal(service.log.of('upload.failed').length, places.length)
    t.equal(service.log.of('upload.aborted').length, 0)
    await quiet(b2)
    t.same(b2.versions(), [])
    t.same(await service.localFiles(), [])
    t.equal((await put(service, raw)).status, 201)
  })
}

t.test('a client slower than UPLOAD_MIN_RATE is ended, though it never stops', async t => {
  const service = await startService(t, { ...IDLE, UPLOAD_MIN_RATE: '1000000' })
  for (const method of ['PUT', 'POST'] as const) {
    const client = await connect(t, service)
    const body = bodyOf(method, bytes(MIB))
    await client.send(head(method, body.byteLength))
    await trickle(client, body, 100, 20)
    const answer = await client.answer()
    isError(t, answer, 408, 'upload_stalled')
    t.match(answer?.body.detail, /1000000 bytes a second/)
  }
  t.same(await service.localFiles(), [])
})

t.test('a rate of 0 lets the slowest client come to its end', async t => {
  const service = await startService(t, { ...IDLE, UPLOAD_IDLE_TIMEOUT_MS: '1000', UPLOAD_MIN_RATE: '0' })
  const client = await connect(t, service)
  const body = bytes(40)
  await client.send(head('PUT', body.byteLength))
  await trickle(client, body, 1, 50)
  t.equal((await client.answer())?.body.track.sha256, sha256(body))
})

t.test('time in which B2 makes the client wait does not count', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), ...IDLE, UPLOAD_IDLE_TIMEOUT_MS: '1000', UPLOAD_MIN_RATE: '50000' })
  for (const method of ['PUT', 'POST'] as const) {
    const content = bytes(40 * MIB)
    const body = bodyOf(method, content)
    // Four parts under way and one waiting: nobody reads until the answers come, much later than the client might be idle.
    b2.fault({ operation: 'UploadPart', delayMs: 2_000, times: 4 })
    const socket = await begin(service, method, body)
    const answered = new Promise<string>(resolve => { socket.once('data', chunk => resolve(chunk.toString())) })
    await send(socket, body)
    t.match(await answered, /^HTTP\/1\.1 201 /)
    t.equal(inB2(b2).files.at(-1)?.sha256, sha256(content))
    socket.destroy()
    b2.reset()
  }
})

t.test('a B2 that makes the client wait at the end is no idle client either', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), ...IDLE })
  b2.fault({ operation: 'PutObject', delayMs: 1_000 })
  t.equal((await put(service, bytes(1_000))).status, 201)
})
