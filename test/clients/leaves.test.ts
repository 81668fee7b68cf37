import t from 'tap'
import { begin, bodyOf, seeded, send } from '../support/clients/leaving-client.ts'
import type { Method } from '../support/clients/leaving-client.ts'
import { quiet } from '../support/run/quiet.ts'
import { b2Env, bytes, post, put, sha256, startB2, startService } from '../support/service/service.ts'

const MIB = 1_048_576
const AT_ONCE = 4
const leave: ((socket: Awaited<ReturnType<typeof begin>>) => void)[] = [
  socket => { socket.resetAndDestroy() }, socket => { socket.destroy() }, socket => { socket.end() },
]

const uncaught: unknown[] = []
for (const event of ['unhandledRejection', 'uncaughtException'] as const) process.on(event, error => { uncaught.push(error) })

const PART = 5 * MIB
const WINDOW = 10 * MIB
const TWO_PARTS = 7 * MIB
const BEYOND_WINDOW = 18 * MIB
const content = bytes(BEYOND_WINDOW)
const plans: [mode: string, method: Method, size: number, times: number][] = []
for (const mode of ['B2', 'local-only']) {
  for (const method of ['PUT', 'POST'] as const) plans.push([mode, method, TWO_PARTS, 46], [mode, method, BEYOND_WINDOW, 6])
}

for (const [mode, method, size, times] of plans) {
  t.test(`a client that leaves at one of ${times} places of a ${method} of ${size / MIB} MiB in ${mode} mode leaves nothing behind`, async t => {
    const b2 = await startB2(t)
    const service = await startService(t, mode === 'B2'
      ? { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', B2_PART_BYTES: String(PART), REPLAY_WINDOW_BYTES: String(WINDOW) }
      : {})
    const body = bodyOf(method, content.subarray(0, size))
    const random = seeded(size + method.length)
    const offsets = Array.from({ length: times }, () => Math.floor(random() * body.byteLength))
    offsets[0] = 0
    offsets[1] = body.byteLength - 1
    const queue = offsets.map((offset, index) => ({ offset, how: leave[index % leave.length]! }))
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
        const socket = await begin(service, method, body)
        if (next.offset > 0) await send(socket, body.subarray(0, next.offset))
        next.how(socket)
      }
    }))

    await service.log.until(() => service.log.of('upload.aborted').length === times)
    while (service.app.uploads.inFlight > 0) await new Promise(resolve => setImmediate(resolve))
    await quiet(b2)
    t.same(b2.versions(), [], 'no object in B2')
    t.same(b2.unfinishedUploads(), [], 'no unfinished upload in B2')
    t.same(await service.localFiles(), [], 'no local file')
    t.equal(service.app.uploads.heldBytes, 0, 'no memory is held')
    t.same(uncaught, [], 'nothing went uncaught')

    const good = await (method === 'PUT' ? put : post)(service, content.subarray(0, size))
    t.equal(good.status, 201)
    t.equal(good.body.storage, mode === 'B2' ? 'b2' : 'local')
    t.equal(good.body.track.sha256, sha256(content.subarray(0, size)))
    t.equal(service.log.of('upload.aborted').length, times, 'one line for each')
    t.ok(service.log.of('upload.aborted').every(({ level, correlation_id: id }) => level === 30 && typeof id === 'string'))
    t.equal(service.log.of('upload.failed').length, 0)
    t.equal(service.log.of('b2.failed').length, 0)
    t.equal(service.log.of('upload.stored').length, 1)
  })
}

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
  const socket = await begin(service, 'PUT', content)
  await send(socket, content.subarray(0, 9 * MIB))
  await seen
  socket.destroy()
  await service.log.until(({ event }) => event === 'upload.aborted')
  t.equal((await ended).outcome, 'answered', 'the request that begins it was not cancelled')
  await quiet(b2)
  t.same(b2.unfinishedUploads(), [])
  t.notOk(b2.requests.some(({ operation }) => operation === 'ListMultipartUploads'), 'nothing had to be looked for')
})
