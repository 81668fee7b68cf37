import { readFile } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { CircuitBreaker } from '../../services/circuit-breaker.ts'
import type { CircuitFailure, Permit } from '../../services/circuit-breaker.ts'
import type { B2Emulator } from '../../emulator/index.ts'
import { KIB, MIB } from '../support/faults/fault-matrix.ts'
import { b2Env, bytes, put, sha256, startB2, startService } from '../support/service/service.ts'

const soft: CircuitFailure = { error_code: 'service_unavailable', detail: 'busy', weight: 'soft' }
const hard: CircuitFailure = { error_code: 'auth_error', detail: 'wrong key', weight: 'hard' }
const none: CircuitFailure = { error_code: 'invalid_request', detail: 'refused', weight: 'none' }

const RESET_MS = 20

function create (threshold = 3, resetMs = RESET_MS) {
  const changes: [string, string | undefined][] = []
  const breaker = new CircuitBreaker({ threshold, resetMs, onChange: (state, failure) => changes.push([state, failure?.error_code]) })
  const ask = (): Permit => breaker.tryAcquire(true)!
  return { breaker, changes, ask }
}

t.test('soft failures in a row open the circuit, and a success in between begins anew', async t => {
  const { breaker, changes, ask } = create(3, 60_000)
  ask().fail(soft)
  ask().fail(soft)
  t.same(breaker.lastError, soft)
  ask().succeed()
  t.equal(breaker.lastError, null)
  ask().fail(soft)
  ask().fail(soft)
  t.equal(breaker.state, 'closed')
  t.equal(breaker.failure, null)
  ask().fail(soft)
  t.equal(breaker.state, 'open')
  t.same(breaker.failure, soft)
  t.equal(breaker.tryAcquire(true), undefined)
  t.equal(breaker.canAcquire(true), false)
  t.same(changes, [['open', 'service_unavailable']])
})

t.test('a hard failure, or one that lost a file, opens it at once', async t => {
  const first = create(3, 60_000)
  first.ask().fail(hard)
  t.same(first.changes, [['open', 'auth_error']])

  for (const failure of [soft, none]) {
    const second = create(3, 60_000)
    second.ask().fail(failure, true)
    t.same(second.changes, [['open', failure.error_code]])
  }
})

t.test('a request that B2 refuses as invalid says nothing about it', async t => {
  const { breaker, ask } = create(1)
  ask().fail(none)
  t.equal(breaker.state, 'closed')
  t.equal(breaker.lastError, null)
})

t.test('threshold 0 is no breaker', async t => {
  const { breaker, ask } = create(0)
  for (const failure of [hard, soft, hard]) ask().fail(failure, true)
  t.equal(breaker.state, 'closed')
  t.same(breaker.lastError, hard, 'what failed last is known all the same')
})

t.test('after the reset time one probe is let through, and its success closes the circuit', async t => {
  const { breaker, changes, ask } = create()
  ask().fail(hard)
  await wait(2 * RESET_MS)
  t.equal(breaker.tryAcquire(false), undefined, 'who could be lost is no probe')
  t.equal(breaker.state, 'open')
  const probe = ask()
  t.equal(breaker.state, 'half_open')
  t.equal(breaker.tryAcquire(true), undefined, 'one at a time')
  t.same(breaker.failure, hard, 'the others are told why')
  probe.succeed()
  t.equal(breaker.state, 'closed')
  t.same([breaker.failure, breaker.lastError], [null, null])
  t.same(changes.map(([state]) => state), ['open', 'half_open', 'closed'])
})

t.test('a probe that fails opens the circuit again, for the whole time', async t => {
  for (const failure of [soft, hard]) {
    const { breaker, ask } = create(3, 400)
    ask().fail(hard)
    await wait(450)
    ask().fail(failure)
    t.equal(breaker.state, 'open')
    t.same(breaker.failure, failure)
    t.equal(breaker.canAcquire(true), false)
  }
})

t.test('a probe that B2 refuses as invalid proves nothing, and the reason stays', async t => {
  const { breaker, ask } = create(3, 400)
  ask().fail(hard)
  await wait(450)
  ask().fail(none)
  t.equal(breaker.state, 'open')
  t.same(breaker.failure, hard)
  t.equal(breaker.canAcquire(true), false)
})

t.test('a probe whose client leaves gives its place to the next', async t => {
  const { breaker, ask } = create()
  ask().fail(hard)
  await wait(2 * RESET_MS)
  ask().release()
  t.equal(breaker.state, 'open')
  t.same(breaker.failure, hard)
  ask().succeed()
  t.equal(breaker.state, 'closed')
})

t.test('an upload whose client leaves while the circuit is closed is no verdict either', async t => {
  const { breaker, changes, ask } = create()
  ask().release()
  t.equal(breaker.state, 'closed')
  t.same(changes, [])
})

t.test('only the first outcome of a permit counts', async t => {
  const { breaker, ask } = create(1)
  const permit = ask()
  permit.succeed()
  permit.fail(hard)
  permit.release()
  t.equal(breaker.state, 'closed')

  ask().fail(hard)
  await wait(2 * RESET_MS)
  const probe = ask()
  probe.release()
  const second = ask()
  probe.release()
  t.equal(breaker.tryAcquire(true), undefined, 'the second probe is still under way')
  second.succeed()
})

t.test('what began before the circuit opened changes nothing about it', async t => {
  const { breaker, changes, ask } = create(3, 400)
  const [late, later, latest] = [ask(), ask(), ask()]
  ask().fail(hard)
  late.succeed()
  t.equal(breaker.state, 'open', 'an old success does not close it')
  await wait(450)
  later.fail(soft, true)
  t.same(breaker.failure, hard, 'the reason is the failure that opened it')
  t.ok(breaker.canAcquire(true), 'its time goes on')
  const probe = ask()
  latest.fail(soft)
  t.equal(breaker.state, 'half_open', 'the probe alone decides')
  probe.succeed()
  t.equal(breaker.state, 'closed')
  t.same(changes.map(([state]) => state), ['open', 'half_open', 'closed'])
})

t.test('the first bytes that B2 takes of a probe close the circuit; what follows counts as any other upload', async t => {
  for (const end of ['fail', 'succeed', 'release'] as const) {
    const { breaker, changes, ask } = create(2)
    ask().fail(hard)
    await wait(2 * RESET_MS)
    const probe = ask()
    probe.acknowledge()
    t.equal(breaker.state, 'closed')
    probe.acknowledge()
    if (end === 'fail') probe.fail(soft)
    else probe[end]()
    t.equal(breaker.state, 'closed', `${end}: one of two`)
    ask().fail(soft)
    t.equal(breaker.state, end === 'fail' ? 'open' : 'closed')
    t.same(changes.map(([state]) => state).slice(0, 3), ['open', 'half_open', 'closed'])
  }
  const { breaker, ask } = create(5)
  ask().fail(hard)
  await wait(2 * RESET_MS)
  const probe = ask()
  probe.acknowledge()
  probe.fail(soft, true)
  t.equal(breaker.state, 'open', 'at once, where a file was lost')
  probe.acknowledge()
  t.equal(breaker.state, 'open', 'its verdict was given once')
})

t.test('the first bytes that B2 takes of an upload that is no probe say nothing', async t => {
  const { breaker, ask } = create(2)
  const early = ask()
  ask().fail(soft)
  early.acknowledge()
  t.same(breaker.lastError, soft)
  ask().fail(soft)
  early.acknowledge()
  t.equal(breaker.state, 'open')
})

t.test('a probe without a verdict in time lets the next one try', async t => {
  const changes: string[] = []
  const breaker = new CircuitBreaker({ threshold: 1, resetMs: 0, verdictMs: 50, onChange: state => changes.push(state) })
  const overdue = async (): Promise<[Permit, Permit]> => {
    const first = breaker.tryAcquire(true)!
    t.equal(breaker.tryAcquire(true), undefined)
    await wait(60)
    return [first, breaker.tryAcquire(true)!]
  }
  breaker.tryAcquire(true)!.fail(hard)
  const [first, second] = await overdue()
  first.fail({ ...soft, detail: 'late' })
  t.equal(breaker.state, 'half_open', 'that of the first is no verdict any more where it is a failure')
  t.equal(breaker.tryAcquire(true), undefined, 'the second has the slot')
  second.fail(soft)
  t.same([breaker.state, breaker.failure], ['open', soft])

  const [third, fourth] = await overdue()
  third.succeed()
  t.equal(breaker.state, 'closed', 'but it is where it is a success')
  fourth.fail(soft)
  t.equal(breaker.state, 'open', 'the other one counts as any upload')

  const [fifth, sixth] = await overdue()
  sixth.fail(hard)
  fifth.succeed()
  t.equal(breaker.state, 'open', 'one that failed after it began knows better')

  const [seventh, eighth] = await overdue()
  eighth.release()
  seventh.release()
  t.equal(breaker.state, 'open')
  const last = breaker.tryAcquire(true)!
  await wait(60)
  last.release()
  t.equal(breaker.state, 'open', 'one that is overdue gives its place back, too')
})

// Through the front door.

const PUT = 100 * KIB
const FRONT_RESET_MS = 100

async function setUp (t: Parameters<typeof startB2>[0], env: Record<string, string> = {}) {
  const b2 = await startB2(t)
  const service = await startService(t, {
    ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', B2_MAX_ATTEMPTS: '1', BREAKER_THRESHOLD: '3', BREAKER_RESET_MS: '60000', ...env,
  })
  const upload = async (size = PUT) => {
    const content = bytes(size)
    const answer = await put(service, content)
    const stored = answer.body.storage === 'b2' ? b2.read(answer.body.location)! : await readFile(answer.body.location)
    t.equal(sha256(stored), sha256(content), `${answer.body.storage} has the bytes`)
    return answer.body
  }
  return { b2, service, upload }
}

const writes = (b2: B2Emulator): number => b2.requests.filter(({ method }) => method === 'PUT' || method === 'POST').length

t.test('uploads that fail in a row open the circuit; then B2 is left alone and the reason is given', async t => {
  const { b2, service, upload } = await setUp(t)
  b2.fault({ operation: 'PutObject', status: 503, times: Infinity })
  for (let count = 1; count <= 3; count++) {
    t.same(service.log.of('breaker.open'), [])
    t.match(await upload(), { storage: 'local', fallback_reason: { error_code: 'service_unavailable' } })
  }
  t.match(service.log.of('breaker.open'), [{ error_code: 'service_unavailable', level: 40 }])
  b2.clearFaults()
  const before = b2.requests.length
  for (const size of [PUT, 12 * MIB, 40 * MIB]) {
    t.match(await upload(size), {
      storage: 'local', fallback_from_b2: true, fallback_reason: { error_code: 'service_unavailable', detail: 'B2 is unavailable: HTTP status 503' },
    })
  }
  t.equal(b2.requests.length, before, 'not one request')
  t.equal(service.log.of('b2.failed').length, 6, 'each fallback is told')
})

t.test('retries that win keep the circuit closed', async t => {
  const { b2, service, upload } = await setUp(t, { B2_MAX_ATTEMPTS: '2', BREAKER_THRESHOLD: '1' })
  b2.fault({ operation: 'PutObject', status: 503 })
  t.match(await upload(), { storage: 'b2' })
  t.same(service.log.of('breaker.open'), [])
})

for (const { name, fault, code } of [
  { name: 'wrong keys', fault: { status: 403, code: 'SignatureDoesNotMatch' }, code: 'auth_error' },
  { name: 'a missing capability', fault: { status: 403 }, code: 'access_denied' },
  { name: 'a missing bucket', fault: { status: 404, code: 'NoSuchBucket' }, code: 'bucket_not_found' },
  { name: 'a cap', fault: { status: 403, message: 'transaction cap exceeded' }, code: 'quota_exceeded' },
]) {
  t.test(`${name} opens the circuit at once`, async t => {
    const { b2, service, upload } = await setUp(t)
    b2.fault({ operation: 'PutObject', ...fault, times: Infinity })
    t.match(await upload(), { fallback_reason: { error_code: code } })
    t.match(service.log.of('breaker.open'), [{ error_code: code }])
    const before = b2.requests.length
    t.match(await upload(), { storage: 'local', fallback_reason: { error_code: code } })
    t.equal(b2.requests.length, before)
  })
}

t.test('a key that may only write is enough', async t => {
  const b2 = await startB2(t, { capabilities: ['writeFiles'] })
  const service = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', BREAKER_THRESHOLD: '1' })
  for (const size of [PUT, 12 * MIB]) t.match((await put(service, bytes(size))).body, { storage: 'b2' })
  t.same(service.log.of('breaker.open'), [])
})

for (const isWell of [true, false]) {
  t.test(`of 20 uploads at once after the reset time one tries B2, which is ${isWell ? 'well' : 'not'}`, async t => {
    const { b2, service, upload } = await setUp(t, { BREAKER_RESET_MS: String(FRONT_RESET_MS) })
    const down = b2.fault({ operation: 'PutObject', status: 403, times: Infinity })
    await upload()
    if (isWell) down.cancel()
    await wait(FRONT_RESET_MS)

    const before = writes(b2)
    b2.throttle({ bytesPerSecond: 10 })
    const isHere = service.log.until(line => line.event === 'breaker.half_open')
    const uploads = Array.from({ length: 20 }, () => upload())
    // The probe stands still until the 19 others have been answered without it.
    await isHere
    const passedBy = (): number => service.log.of('upload.stored').length - 1
    await service.log.until(() => passedBy() >= 19)
    t.equal(writes(b2) - before, 1, 'exactly one request')
    b2.throttle(null)
    const receipts = await Promise.all(uploads)

    t.equal(receipts.filter(({ storage }) => storage === 'b2').length, isWell ? 1 : 0)
    t.ok(receipts.every(({ storage, fallback_reason: reason }) => storage === 'b2' || reason.error_code === 'access_denied'))
    t.equal(writes(b2) - before, 1, 'and still one')
    t.same(service.log.lines.filter(({ event }) => event?.startsWith('breaker.')).map(({ event }) => event),
      ['breaker.open', 'breaker.half_open', isWell ? 'breaker.closed' : 'breaker.open'])
    t.match(await upload(), { storage: isWell ? 'b2' : 'local' })
  })
}

t.test('every upload may be the probe, as none can be lost', async t => {
  const { b2, upload } = await setUp(t, { BREAKER_RESET_MS: String(FRONT_RESET_MS), REPLAY_WINDOW_BYTES: String(MIB) })
  b2.fault({ operation: 'PutObject', status: 403 })
  await upload()
  await wait(FRONT_RESET_MS)
  t.match(await upload(2 * MIB), { storage: 'b2' }, 'longer than the window')
})

t.test('an upload that could be lost is never the probe', async t => {
  const { b2, service, upload } = await setUp(t, { BREAKER_RESET_MS: String(FRONT_RESET_MS), REPLAY_WINDOW_BYTES: String(MIB), FALLBACK_BEYOND_WINDOW: 'refuse' })
  b2.fault({ operation: 'PutObject', status: 403 })
  await upload()
  await wait(FRONT_RESET_MS)
  const before = b2.requests.length

  t.match(await upload(2 * MIB), { storage: 'local' }, 'longer than the window')
  const content = bytes(PUT)
  const unknown = await fetch(`${service.url}/uploads/x.bin`, {
    method: 'PUT',
    body: new ReadableStream({
      start (controller) {
        controller.enqueue(content)
        controller.close()
      },
    }),
    duplex: 'half',
  } as RequestInit)
  t.match(await unknown.json(), { storage: 'local', track: { sha256: sha256(content) } }, 'of unknown length')
  t.equal(b2.requests.length, before)

  t.match(await upload(MIB), { storage: 'b2' }, 'one that fits is')
  t.match(await upload(2 * MIB), { storage: 'b2' })
})

t.test('a probe whose client leaves gives no verdict', async t => {
  const { b2, service, upload } = await setUp(t, { BREAKER_RESET_MS: String(FRONT_RESET_MS) })
  b2.fault({ operation: 'PutObject', status: 403 })
  await upload()
  await wait(FRONT_RESET_MS)

  const client = new AbortController()
  const begun = b2.waitFor('request', ({ operation }) => operation === 'CreateMultipartUpload')
  // Long enough for B2 to hear of it before all has come.
  const left = fetch(`${service.url}/uploads/x.bin`, {
    method: 'PUT',
    headers: { 'content-length': String(12 * MIB) },
    body: new ReadableStream({ start (controller) { controller.enqueue(bytes(9 * MIB)) } }),
    duplex: 'half',
    signal: client.signal,
  } as RequestInit)
  await begun
  client.abort()
  await t.rejects(left, { name: 'AbortError' })
  await service.log.until(line => line.event === 'upload.aborted')
  t.match(await upload(), { storage: 'b2' }, 'the next one is the probe')
})
