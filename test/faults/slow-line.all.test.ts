import t from 'tap'
import type { Test } from 'tap'
import type { B2Emulator } from '../../emulator/index.ts'
import { CALM, fallBack, MIB } from '../support/promotion/promotion.ts'
import { b2Env, bytes, put, sha256, startB2, startService } from '../support/service/service.ts'
import type { Answer, TestService } from '../support/service/service.ts'

// A line that is full, and always moves. Times are a fifteenth of the usual ones.

async function setUp (t: Test, bytesPerSecond: number, env: Record<string, string> = {}): Promise<{ b2: B2Emulator, service: TestService }> {
  const b2 = await startB2(t)
  const service = await startService(t, {
    ...b2Env(b2), ...CALM, B2_PART_BYTES: String(8 * MIB), B2_STALL_TIMEOUT_MS: '2000', B2_ACK_TIMEOUT_MS: '3000', BREAKER_THRESHOLD: '3', ...env,
  })
  b2.throttle({ bytesPerSecond, isShared: true })
  return { b2, service }
}

async function uploads (t: Test, { b2, service }: { b2: B2Emulator, service: TestService }, sizes: number[]): Promise<Answer['body'][]> {
  return await Promise.all(sizes.map(async size => {
    const content = bytes(size)
    const { status, body } = await put(service, content)
    t.equal(status, 201)
    if (body.storage === 'b2') t.equal(sha256(b2.read(body.location)!), sha256(content))
    else t.match(body.fallback_reason, { error_code: 'timeout', detail: /slow/ })
    return body
  }))
}

const inB2 = (bodies: Answer['body'][]): number => bodies.filter(({ storage }) => storage === 'b2').length
const breakerEvents = (service: TestService): unknown[] => service.log.lines.filter(({ event }) => event?.startsWith('breaker.'))

const wastedBytes = ({ b2 }: { b2: B2Emulator }, bodies: Answer['body'][]): number =>
  b2.requests.reduce((sum, { bytesReceived }) => sum + bytesReceived, 0) -
  bodies.reduce((sum, { storage, track }) => sum + (storage === 'b2' ? track.size_bytes : 0), 0)

for (const [name, count, mib, seconds] of [['small files', 64, 0.5, 6], ['files of one request', 16, 2, 6], ['large files', 6, 10, 9]] as const) {
  t.test(`more than a full line carries in time, ${name}: what it carries is in B2, and the circuit stays closed`, async t => {
    const stage = await setUp(t, count * mib * MIB / seconds)
    const from = performance.now()
    const bodies = await uploads(t, stage, Array.from({ length: count }, () => mib * MIB))
    const inTime = 3 / seconds * count
    t.ok(inB2(bodies) < count)
    // The line of a busy machine may be slower than it is said to be.
    t.ok(inB2(bodies) >= Math.floor(inTime * 2 / 3), `${inB2(bodies)} of ${count} in B2`)
    t.same(breakerEvents(stage.service), [])
    // What was under way when its time was over: one body, or small ones of one and a half MiB together.
    t.ok(wastedBytes(stage, bodies) <= Math.min(8, Math.max(1.5, mib)) * MIB, `${wastedBytes(stage, bodies)} bytes were wasted`)
    t.ok(performance.now() - from < 15_000)
  })
}

for (const [name, sizes] of [
  ['files of one request', Array.from({ length: 12 }, (_, index) => (index % 3 + 1) * MIB)], ['large files', Array.from({ length: 3 }, () => 10 * MIB)],
] as const) {
  t.test(`what a full line carries in time is all in B2, ${name}`, async t => {
    const stage = await setUp(t, 12 * MIB, { B2_ACK_TIMEOUT_MS: '6000' })
    const bodies = await uploads(t, stage, [...sizes]) // 2 or 2.5 s for all of them
    t.equal(inB2(bodies), sizes.length)
    t.same(breakerEvents(stage.service), [])
  })
}

t.test('small files do not wait for all large ones', async t => {
  const stage = await setUp(t, 12 * MIB, { B2_ACK_TIMEOUT_MS: '6000' })
  const large = uploads(t, stage, Array.from({ length: 4 }, () => 6 * MIB))
  await stage.b2.waitFor('request')
  const [small] = await uploads(t, stage, [10_000])
  t.match(small, { storage: 'b2' })
  t.ok(stage.b2.objects().length < 4)
  await large
})

t.test('with 0 there is no bound', async t => {
  const stage = await setUp(t, 4 * MIB, { B2_ACK_TIMEOUT_MS: '0' })
  const bodies = await uploads(t, stage, Array.from({ length: 4 }, () => 2 * MIB))
  t.equal(inB2(bodies), 4)
})

t.test('a B2 that takes all and says nothing has failed', async t => {
  const { b2, service } = await setUp(t, 100 * MIB, { B2_STALL_TIMEOUT_MS: '60000', B2_ACK_TIMEOUT_MS: '1000', BREAKER_THRESHOLD: '1' })
  b2.fault({ operation: 'PutObject', action: 'hang' })
  const { body } = await put(service, bytes(2 * MIB))
  t.match(body, { storage: 'local', fallback_reason: { error_code: 'timeout', detail: 'B2 did not answer in time: nothing was acknowledged in time' } })
  t.equal(service.log.of('breaker.open').length, 1)
})

t.test('the time begins with the client\'s last byte', async t => {
  const { b2, service } = await setUp(t, 100 * MIB, { B2_ACK_TIMEOUT_MS: '1000', B2_STALL_TIMEOUT_MS: '60000' })
  b2.fault({ operation: 'UploadPart', part: 1, delayMs: 2_500 })
  const content = bytes(9 * MIB)
  const answer = await fetch(`${service.url}/uploads/x.bin`, {
    method: 'PUT',
    headers: { 'content-length': String(content.byteLength) },
    body: new ReadableStream({
      async start (controller) {
        controller.enqueue(content.subarray(0, -1))
        await b2.waitFor('response', ({ operation }) => operation === 'UploadPart')
        controller.enqueue(content.subarray(-1))
        controller.close()
      },
    }),
    duplex: 'half',
  } as RequestInit)
  t.match(await answer.json(), { storage: 'b2' })
})

t.test('connections that are slow each, on a line that is not full, are all used', async t => {
  const { b2, service } = await setUp(t, 1, { B2_STALL_TIMEOUT_MS: '10000', B2_ACK_TIMEOUT_MS: '45000' })
  b2.throttle({ bytesPerSecond: 1.5 * MIB }) // each
  let most = 0
  let underWay = 0
  b2.on('request', () => { most = Math.max(most, ++underWay) })
  b2.on('response', () => { underWay-- })
  const bodies = await uploads(t, { b2, service }, Array.from({ length: 16 }, () => 3 * MIB))
  t.equal(inB2(bodies), 16)
  t.ok(most >= 12, `${most} at once`)
})

t.test('uploads come before promotion', async t => {
  const { b2, service } = await setUp(t, 100 * MIB, { BREAKER_THRESHOLD: '0', B2_ACK_TIMEOUT_MS: '6000' })
  await fallBack(t, b2, service, 24 * MIB)
  b2.throttle({ bytesPerSecond: 12 * MIB, isShared: true })
  const promoting = service.app.uploads.promote()
  await b2.waitFor('request', ({ operation }) => operation === 'UploadPart')
  const bodies = await uploads(t, { b2, service }, Array.from({ length: 4 }, () => 4 * MIB))
  t.equal(inB2(bodies), 4)
  b2.throttle(null)
  t.match(await promoting, { promoted: 1 })
})
