import { EventEmitter, once } from 'node:events'
import { constants, PerformanceObserver } from 'node:perf_hooks'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { collectWhenIdle, tuneGarbageCollection } from '../services/garbage-collection.ts'

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

t.test('what comes and goes like bytes from a socket does not begin to mark the heap', async t => {
  const kinds: number[] = []
  const observer = new PerformanceObserver(list => {
    for (const { detail } of list.getEntries() as unknown as { detail: { kind: number } }[]) kinds.push(detail.kind)
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
