import t from 'tap'
import type { Test } from 'tap'
import type { B2Emulator } from '../../emulator/index.ts'
import { CALM, fallBack, MIB } from '../support/promotion/promotion.ts'
import { b2Env, bytes, put, sha256, startB2, startService } from '../support/service/service.ts'
import type { Answer, TestService } from '../support/service/service.ts'

// A line that is full, and always moves. Times are a tenth of the usual ones.

async function setUp (t: Test, bytesPerSecond: number, env: Record<string, string> = {}): Promise<{ b2: B2Emulator, service: TestService }> {
  const b2 = await startB2(t)
  const service = await startService(t, {
    ...b2Env(b2), ...CALM, B2_PART_BYTES: String(8 * MIB), B2_STALL_TIMEOUT_MS: '4000', B2_ACK_TIMEOUT_MS: '4500', BREAKER_THRESHOLD: '3', ...env,
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

t.test('more than a full line carries in time: what it carries is in B2, and the circuit stays closed', async t => {
  const stage = await setUp(t, 4 * MIB)
  const bodies = await uploads(t, stage, Array.from({ length: 16 }, () => 2 * MIB)) // 8 s for all of them
  // 4.5 of 8 seconds, on a busy machine.
  t.ok(inB2(bodies) >= 4, `${inB2(bodies)} of 16 in B2`)
  t.ok(inB2(bodies) < 16)
  t.same(breakerEvents(stage.service), [])
  const sent = stage.b2.requests.reduce((sum, { bytesReceived }) => sum + bytesReceived, 0)
  t.ok(sent <= (inB2(bodies) + 4.5) * 2 * MIB, `${Math.round(sent / MIB)} MiB were sent`)
})

t.test('what a full line carries in time is all in B2', async t => {
  const stage = await setUp(t, 8 * MIB, { B2_ACK_TIMEOUT_MS: '30000' })
  const bodies = await uploads(t, stage, Array.from({ length: 12 }, (_, index) => (index % 3 + 1) * MIB)) // 3 s for all of them
  t.equal(inB2(bodies), 12)
  t.same(breakerEvents(stage.service), [])
})

t.test('small files do not wait for all large ones', async t => {
  const stage = await setUp(t, 8 * MIB, { B2_ACK_TIMEOUT_MS: '30000' })
  const large = uploads(t, stage, Array.from({ length: 4 }, () => 6 * MIB))
  await stage.b2.waitFor('request')
  const [small] = await uploads(t, stage, [10_000])
  t.match(small, { storage: 'b2' })
  t.ok(stage.b2.objects().length < 4)
  await large
})

t.test('with 0 there is no bound', async t => {
  const stage = await setUp(t, 2 * MIB, { B2_ACK_TIMEOUT_MS: '0' })
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
  b2.throttle({ bytesPerSecond: MIB }) // each
  let most = 0
  let underWay = 0
  b2.on('request', () => { most = Math.max(most, ++underWay) })
  b2.on('response', () => { underWay-- })
  const bodies = await uploads(t, { b2, service }, Array.from({ length: 16 }, () => 3 * MIB))
  t.equal(inB2(bodies), 16)
  t.ok(most >= 12, `${most} at once`)
})

t.test('uploads come before promotion', async t => {
  const { b2, service } = await setUp(t, 100 * MIB, { BREAKER_THRESHOLD: '0' })
  await fallBack(t, b2, service, 24 * MIB)
  b2.throttle({ bytesPerSecond: 8 * MIB, isShared: true })
  const promoting = service.app.uploads.promote()
  await b2.waitFor('request', ({ operation }) => operation === 'UploadPart')
  const bodies = await uploads(t, { b2, service }, Array.from({ length: 4 }, () => 4 * MIB))
  t.equal(inB2(bodies), 4)
  b2.throttle(null)
  t.match(await promoting, { promoted: 1 })
})
