import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { CircuitBreaker } from '../../services/circuit-breaker.ts'
import type { CircuitFailure, Permit } from '../../services/circuit-breaker.ts'

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
