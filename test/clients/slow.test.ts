import t from 'tap'
import { bodyOf } from '../support/clients/leaving-client.ts'
import { quiet } from '../support/run/quiet.ts'
import { connect, isError } from '../support/clients/raw-http.ts'
import { b2Env, bytes, put, startB2, startService } from '../support/service/service.ts'
import { IDLE, MIB, head, trickle } from '../support/clients/slow-client.ts'

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

t.test('a B2 that makes the client wait at the end is no idle client either', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), ...IDLE })
  b2.fault({ operation: 'PutObject', delayMs: 1_000 })
  t.equal((await put(service, bytes(1_000))).status, 201)
})
