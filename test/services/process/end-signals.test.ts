import { once } from 'node:events'
import t from 'tap'
import type { Test } from 'tap'
import { onEndSignal } from '../../../services/process/end-signals.ts'
import type { EndSignal } from '../../../services/process/end-signals.ts'
import { fakeClock } from '../../support/run/fake-clock.ts'

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

// To wait for a signal does not keep a process alive.
const alive = setInterval(() => {}, 1_000)
t.teardown(() => clearInterval(alive))

/** What was called; its listeners go with the test. */
function listen (t: Test): string[] {
  const called: string[] = []
  const before = SIGNALS.map(signal => process.listeners(signal))
  onEndSignal(signal => { called.push(`first ${signal}`) }, signal => { called.push(`again ${signal}`) })
  t.teardown(() => {
    for (const [index, signal] of SIGNALS.entries()) {
      for (const listener of process.listeners(signal)) if (!before[index]!.includes(listener)) process.off(signal, listener)
    }
  })
  return called
}

async function send (signal: EndSignal): Promise<void> {
  const sent = once(process, signal)
  process.kill(process.pid, signal)
  await sent
}

for (const signal of SIGNALS) {
  t.test(`${signal} is answered once within two seconds, and then each time`, async t => {
    const clock = fakeClock(t)
    const called = listen(t)
    clock.advance(5_000)
    await send(signal)
    await send(signal)
    clock.advance(2_000)
    await send(signal)
    t.same(called, [`first ${signal}`])
    clock.advance(1)
    await send(signal)
    await send(signal)
    t.same(called, [`first ${signal}`, `again ${signal}`, `again ${signal}`])
  })
}

t.test('one kind of signal repeats the other', async t => {
  const clock = fakeClock(t)
  const called = listen(t)
  await send('SIGINT')
  await send('SIGTERM')
  t.same(called, ['first SIGINT'])
  clock.advance(2_001)
  await send('SIGTERM')
  t.same(called, ['first SIGINT', 'again SIGTERM'])
})
