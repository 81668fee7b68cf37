import t from 'tap'
import { begin, bodyOf, send } from '../support/clients/leaving-client.ts'
import { b2Env, bytes, inB2, sha256, startB2, startService } from '../support/service/service.ts'

const MIB = 1_048_576
const PART = 5 * MIB

t.test('a client that leaves after its last byte has its file stored', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', B2_PART_BYTES: String(PART) })
  for (const method of ['PUT', 'POST'] as const) {
    for (const [size, operation] of [[1_000, 'PutObject'], [PART + MIB, 'CompleteMultipartUpload']] as const) {
      for (const how of ['destroy', 'resetAndDestroy', 'end'] as const) {
        await t.test(`${method} of ${size} bytes, by ${how}`, async t => {
          const content = bytes(size)
          const body = bodyOf(method, content)
          b2.fault({ operation, delayMs: 150 })
          const seen = b2.waitFor('request', record => record.operation === operation)
          const stored = service.log.of('upload.stored').length
          const socket = await begin(service, method, body)
          await send(socket, body)
          await seen
          socket[how]()
          await service.log.until(() => service.log.of('upload.stored').length > stored)
          t.equal(inB2(b2).files[0]?.sha256, sha256(content))
          b2.reset()
        })
      }
    }
  }
  t.equal(service.log.of('upload.aborted').length, 0)
  t.equal(service.log.of('upload.failed').length, 0)
})

t.test('so it is in local-only mode', async t => {
  const service = await startService(t)
  for (const method of ['PUT', 'POST'] as const) {
    const content = bytes(3 * MIB)
    const body = bodyOf(method, content)
    const socket = await begin(service, method, body)
    await send(socket, body)
    socket.end()
    const line = await service.log.until(({ event }) => event?.startsWith('upload.') === true)
    t.equal(line.event, 'upload.stored')
    t.equal(line.size_bytes, content.byteLength)
    service.log.lines.length = 0
  }
})
