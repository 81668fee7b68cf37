import t from 'tap'
import { leaveAt } from '../support/clients/leave-at.ts'
import { begin, bodyOf, send } from '../support/clients/leaving-client.ts'
import { quiet } from '../support/run/quiet.ts'
import { b2Env, bytes, startB2, startService } from '../support/service/service.ts'

const MIB = 1_048_576
const content = bytes(9 * MIB)

leaveAt({ twoParts: 6, beyondWindow: 2 }, ['B2'])

t.test('a client that leaves before its first byte, or between its file and the end of its form, is no other', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000' })
  const body = bodyOf('POST', content.subarray(0, 1_000))
  const end = Buffer.from(body).indexOf('after')
  for (const offset of [1, 50, end - 60, end, body.byteLength - 1]) {
    const socket = await begin(service, 'POST', body)
    await send(socket, body.subarray(0, offset))
    socket.destroy()
  }
  await service.log.until(() => service.log.of('upload.aborted').length === 5)
  t.equal(service.log.of('upload.failed').length, 0)
  t.same(b2.versions(), [])
})

t.test('a client that leaves while B2 begins its upload does not keep the service from learning what to remove', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000' })
  const isCreate = ({ operation }: { operation: string }): boolean => operation === 'CreateMultipartUpload'
  b2.fault({ operation: 'CreateMultipartUpload', delayMs: 300 })
  const seen = b2.waitFor('applied', isCreate)
  const ended = b2.waitFor('response', isCreate)
  const socket = await begin(service, 'PUT', bytes(10 * MIB))
  await send(socket, content)
  await seen
  socket.destroy()
  await service.log.until(({ event }) => event === 'upload.aborted')
  t.equal((await ended).outcome, 'answered', 'the request that begins it was not cancelled')
  await quiet(b2)
  t.same(b2.unfinishedUploads(), [])
  t.notOk(b2.requests.some(({ operation }) => operation === 'ListMultipartUploads'), 'nothing had to be looked for')
})
