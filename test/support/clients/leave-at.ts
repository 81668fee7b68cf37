import t from 'tap'
import { b2Env, bytes, post, put, sha256, startB2, startService } from '../service/service.ts'
import { quiet } from '../run/quiet.ts'
import { begin, bodyOf, seeded, send } from './leaving-client.ts'
import type { Method } from './leaving-client.ts'

const MIB = 1_048_576
const AT_ONCE = 4
const ways: ((socket: Awaited<ReturnType<typeof begin>>) => void)[] = [
  socket => { socket.resetAndDestroy() }, socket => { socket.destroy() }, socket => { socket.end() },
]

const uncaught: unknown[] = []
for (const event of ['unhandledRejection', 'uncaughtException'] as const) process.on(event, error => { uncaught.push(error) })

const PART = 5 * MIB
const WINDOW = 10 * MIB
const TWO_PARTS = 7 * MIB
const BEYOND_WINDOW = 18 * MIB
const content = bytes(BEYOND_WINDOW)

/** Clients leave at so many places of an upload of two parts, and of one that outgrows the window: nothing is left of any. */
export function leaveAt (places: { readonly twoParts: number, readonly beyondWindow: number }, modes: readonly ('B2' | 'local-only')[] = ['B2', 'local-only']): void {
  for (const mode of modes) {
    for (const method of ['PUT', 'POST'] as const) {
      leave(mode, method, TWO_PARTS, places.twoParts)
      leave(mode, method, BEYOND_WINDOW, places.beyondWindow)
    }
  }
}

function leave (mode: 'B2' | 'local-only', method: Method, size: number, times: number): void {
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
    const queue = offsets.map((offset, index) => ({ offset, how: ways[index % ways.length]! }))
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
