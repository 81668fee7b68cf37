import t from 'tap'
import { begin, bodyOf, send } from '../support/clients/leaving-client.ts'
import { b2Env, bytes, inB2, sha256, startB2, startService } from '../support/service/service.ts'

const PART = 5 * 1_048_576

t.test('a client that leaves after its last byte has its file stored, even if the service had not come to read all of it yet', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', B2_PART_BYTES: String(PART) })
  for (const method of ['PUT', 'POST'] as const) {
    // Four parts are under way and a fifth is waiting, so that what is beyond them is not read for now.
    for (const beyond of [1, 1_000, 70_000]) {
      await t.test(`${method}, ${beyond} bytes beyond what was read`, async t => {
        const content = bytes(5 * PART + beyond)
        const body = bodyOf(method, content)
        b2.fault({ operation: 'UploadPart', delayMs: 300, times: 5 })
        const socket = await begin(service, method, body)
        await send(socket, body)
        socket.end()
        const line = await service.log.until(({ event }) => event?.startsWith('upload.') === true)
        t.equal(line.event, 'upload.stored')
        t.equal(inB2(b2).files[0]?.sha256, sha256(content))
        b2.reset()
        service.log.lines.length = 0
      })
    }
  }
})
