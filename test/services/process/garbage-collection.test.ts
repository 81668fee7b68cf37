import { EventEmitter, once } from 'node:events'
import { constants, PerformanceObserver } from 'node:perf_hooks'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { collectWhenIdle, tuneGarbageCollection } from '../../../services/process/garbage-collection.ts'
import { fakeClock } from '../../support/run/fake-clock.ts'

t.test('buffers that nobody holds are collected, but only when no upload runs', async t => {
  const events = new EventEmitter()
  const registry = new FinalizationRegistry(() => events.emit('collected', isBusy))
  let isBusy = true
  let looks = 0
  t.teardown(collectWhenIdle(() => {
    looks++
    if (looks === 3) isBusy = false
    return isBusy
  }, 10))
  t.teardown(keepAlive())

  registry.register(Buffer.alloc(67_108_864), undefined)
  const [wasBusy] = await once(events, 'collected')

  t.equal(wasBusy, false)
})

t.test('with 32 MiB of buffers left and a heap that has grown by 16 MiB nothing is collected, and nothing after the end', async t => {
  const FORCED = constants.NODE_PERFORMANCE_GC_FLAGS_FORCED
  // What ended shortly before is told to new observers, too, where the process has another one, as that of its metrics.
  const begin = performance.now()
  let [arrayBuffers, heapUsed] = [0, 50_000_000]
  let forced = 0
  const clock = fakeClock(t)
  t.intercept(process, 'memoryUsage', { value: () => ({ arrayBuffers, heapUsed }) })
  const end = collectWhenIdle(() => false)
  const observer = new PerformanceObserver(list => {
    for (const { startTime, detail } of list.getEntries() as unknown as { startTime: number, detail: { flags: number } }[]) {
      if (startTime >= begin && (detail.flags & FORCED) !== 0) forced++
    }
  })
  observer.observe({ entryTypes: ['gc'] })
  t.teardown(() => { observer.disconnect() })
  const forcedAfter = async (ms: number): Promise<number> => {
    clock.advance(ms)
    for (let turns = 0; turns < 50; turns++) await turn()
    return forced
  }

  arrayBuffers = 33_554_432
  t.equal(await forcedAfter(20_000), 0)
  arrayBuffers += 1
  t.equal(await forcedAfter(1_999), 0)
  t.equal(await forcedAfter(1), 1)
  t.equal(await forcedAfter(2_000), 2)
  arrayBuffers = 0
  heapUsed = 40_000_000
  t.equal(await forcedAfter(2_000), 2)
  heapUsed += 16_777_216
  t.equal(await forcedAfter(2_000), 2)
  heapUsed += 1
  t.equal(await forcedAfter(2_000), 3, 'the heap has grown by more than 16 MiB since it was smallest')
  t.equal(await forcedAfter(20_000), 3, 'which is in use, as it seems')
  end()
  heapUsed *= 2
  t.equal(await forcedAfter(20_000), 3)
  t.equal(clock.timers, 0)
})

t.test('what comes and goes like bytes from a socket does not begin to mark the heap', async t => {
  const kinds: number[] = []
  const begin = performance.now()
  const observer = new PerformanceObserver(list => {
    for (const { startTime, detail } of list.getEntries() as unknown as { startTime: number, detail: { kind: number } }[]) {
      if (startTime >= begin) kinds.push(detail.kind)
    }
  })
  observer.observe({ entryTypes: ['gc'] })
  t.teardown(() => { observer.disconnect() })

  tuneGarbageCollection()
  let held: Buffer[] = []
  for (let chunk = 0; chunk < 8_192; chunk++) {
    held.push(Buffer.allocUnsafeSlow(65_536))
    if (held.length > 600) held = held.slice(400)
    if (chunk % 16 === 0) await turn()
  }
  await turn()

  t.not(kinds.length, 0, 'garbage was collected')
  t.notOk(kinds.includes(constants.NODE_PERFORMANCE_GC_INCREMENTAL))
})

/** The timers that watch don't keep a process alive. */
function keepAlive (): () => void {
  const timer = setInterval(() => {}, 1_000)
  return () => clearInterval(timer)
}
