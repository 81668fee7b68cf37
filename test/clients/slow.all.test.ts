import t from 'tap'
import { begin, bodyOf, send } from '../support/clients/leaving-client.ts'
import { connect } from '../support/clients/raw-http.ts'
import { b2Env, bytes, inB2, sha256, startB2, startService } from '../support/service/service.ts'
import { IDLE, MIB, head, trickle } from '../support/clients/slow-client.ts'

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
