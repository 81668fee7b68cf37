import t from 'tap'
import type { Test } from 'tap'
import { ClientPace } from '../../../services/intake/client-pace.ts'
import { fakeClock } from '../../support/run/fake-clock.ts'
import type { FakeClock } from '../../support/run/fake-clock.ts'

interface Watched {
  readonly clock: FakeClock
  readonly pace: ClientPace
  readonly stalled: string[]
  /** Lets the client send at a rate for some seconds. */
  send (bytesPerSecond: number, seconds: number): void
}

function watch (t: Test, { idleTimeoutMs = 30_000, minRate = 1_024 } = {}): Watched {
  const clock = fakeClock(t)
  const stalled: string[] = []
  let bytes = 0
  const pace = new ClientPace({ idleTimeoutMs, minRate, received: () => bytes, onStalled: reason => stalled.push(reason) })
  return {
    clock,
    pace,
    stalled,
    send (bytesPerSecond, seconds) {
      for (let tenth = 0; tenth < seconds * 10; tenth++) {
        bytes += bytesPerSecond / 10
        clock.advance(100)
      }
    },
  }
}

t.test('a client that sends nothing while it is read from is idle', async t => {
  const { clock, pace, stalled } = watch(t)
  pace.resume()
  clock.advance(29_999)
  t.same(stalled, [])
  clock.advance(1)
  t.same(stalled, ['idle'])
  t.equal(clock.timers, 0, 'the watch has ended')
})

t.test('a short idle time is looked at more often', async t => {
  const { clock, pace, stalled } = watch(t, { idleTimeoutMs: 500 })
  pace.resume()
  clock.advance(500)
  t.same(stalled, ['idle'])
})

t.test('the rate is known from half a second on', async t => {
  const { clock, pace } = watch(t)
  pace.resume()
  clock.advance(499)
  t.equal(pace.rate(), undefined)
  clock.advance(1)
  t.equal(pace.rate(), 0)
  pace.stop()
})

t.test('every byte begins the idle time anew', async t => {
  const { clock, pace, stalled, send } = watch(t, { minRate: 0 })
  pace.resume()
  for (let time = 0; time < 5; time++) {
    send(10, 0.1)
    clock.advance(28_000)
  }
  t.same(stalled, [])
  clock.advance(3_000)
  t.same(stalled, ['idle'])
})

t.test('a client below the least rate is slow, one at it is not', async t => {
  const enough = watch(t, { minRate: 1_000 })
  enough.pace.resume()
  enough.send(1_000, 120)
  t.same(enough.stalled, [])
  enough.pace.stop()

  const slow = watch(t, { minRate: 1_000 })
  slow.pace.resume()
  slow.send(990, 29)
  t.same(slow.stalled, [], 'it has a whole span')
  slow.send(990, 2)
  t.same(slow.stalled, ['slow'])
})

t.test('a client that was fast is slow a whole span after it became so, not later', async t => {
  const { pace, stalled, send } = watch(t)
  pace.resume()
  send(1_000_000, 300)
  send(500, 29)
  t.same(stalled, [])
  send(500, 3)
  t.same(stalled, ['slow'])
})

t.test('no rule, no slow client', async t => {
  const { pace, stalled, send } = watch(t, { minRate: 0 })
  pace.resume()
  send(1, 600)
  t.same(stalled, [])
})

t.test('time in which the service does not read does not count', async t => {
  const { clock, pace, stalled, send } = watch(t)
  for (let time = 0; time < 20; time++) {
    pace.resume()
    pace.resume()
    send(100_000, 1)
    pace.pause()
    clock.advance(60_000)
  }
  t.same(stalled, [])
  t.equal(pace.rate(), 100_000)
})

t.test('the rate is that of the last ten seconds', async t => {
  const { clock, pace, send } = watch(t)
  t.equal(pace.rate(), undefined)
  pace.resume()
  clock.advance(200)
  t.equal(pace.rate(), undefined, 'too little has been seen')
  send(50_000, 1.8)
  t.equal(pace.rate(), 45_000)
  send(1_000_000, 60)
  t.equal(pace.rate(), 1_000_000)
  send(10_000, 5)
  t.equal(pace.rate(), 505_000)
  send(10_000, 6)
  t.equal(pace.rate(), 10_000)
})

t.test('a client from which nothing is awaited any more has no rate and does not stall', async t => {
  const { clock, pace, stalled, send } = watch(t)
  pace.resume()
  send(1_000_000, 2)
  pace.stop()
  clock.advance(600_000)
  t.equal(pace.rate(), undefined)
  t.same(stalled, [])
  t.equal(clock.timers, 0)
})
