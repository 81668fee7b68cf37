import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { fakeClock } from '../../../support/run/fake-clock.ts'
import type { FakeClock } from '../../../support/run/fake-clock.ts'
import { INFO, KEY, PARTS, setUpWriter } from '../../../support/b2/object-writer.ts'
import type { WriterStage } from '../../../support/b2/object-writer.ts'

/** Nothing but the writer's own clock ends a request. */
async function setUp (t: Test): Promise<WriterStage & { clock: FakeClock }> {
  const stage = await setUpWriter(t, {}, { stallTimeoutMs: 1e9, connectTimeoutMs: 1e9 })
  return { ...stage, clock: fakeClock(t) }
}

function watched (promise: Promise<unknown>): { readonly isSettled: boolean } {
  const state = { isSettled: false }
  promise.then(() => { state.isSettled = true }, () => {})
  return state
}

async function turns (): Promise<void> {
  for (let count = 0; count < 20; count++) await turn()
}

const NOTHING_ACKNOWLEDGED = { ok: false, error_code: 'timeout', detail: /acknowledged/ }

t.test('an object of which B2 acknowledges nothing for 45 seconds fails', async t => {
  const { b2, clock, put, failures } = await setUp(t)
  b2.fault({ action: 'hang' })
  const hung = b2.waitFor('fault')
  const result = put()
  const state = watched(result)
  await hung
  clock.advance(44_999)
  await turns()
  t.equal(state.isSettled, false)
  clock.advance(1)
  t.match(await result, { ...NOTHING_ACKNOWLEDGED, mayBeStored: true, attempts: 1 })
  t.same(failures, ['timeout'])
  t.equal(clock.timers, 0)
})

t.test('who is patient waits longer', async t => {
  const { b2, clock, put } = await setUp(t)
  b2.fault({ action: 'hang' })
  const hung = b2.waitFor('fault')
  const controller = new AbortController()
  const result = put(INFO, { isPatient: true, signal: controller.signal })
  const state = watched(result)
  await hung
  clock.advance(600_000)
  await turns()
  t.equal(state.isSettled, false)
  controller.abort()
  t.match(await result, { ok: false, detail: /^(?!.*acknowledged)/ })
})

t.test('an upload in parts fails 45 seconds after the last acknowledgement, where it may fall back', async t => {
  for (const mayFallBack of [true, false]) {
    const { b2, clock, begin } = await setUp(t)
    b2.fault({ operation: 'UploadPart', part: 2, action: 'hang' })
    const hung = b2.waitFor('fault')
    let acknowledge = (): void => {}
    const first = new Promise<void>(resolve => { acknowledge = resolve })
    const upload = begin(INFO, { mayFallBack: () => mayFallBack, onPartStored: () => { acknowledge() } })
    const state = watched(upload.result)
    await upload.push(PARTS[0])
    await first
    await turns()
    clock.advance(100_000) // nothing is under way: the client is slow
    await turns()
    t.equal(state.isSettled, false)
    await upload.push(PARTS[1], true)
    await hung
    clock.advance(44_000)
    await turns()
    t.equal(state.isSettled, false)
    clock.advance(mayFallBack ? 1_000 : 600_000)
    await turns()
    t.equal(state.isSettled, mayFallBack)
    upload.abort()
    t.match(await upload.result, mayFallBack ? NOTHING_ACKNOWLEDGED : { ok: false, error_code: 'unknown_error' })
    t.equal(clock.timers, 0)
  }
})

t.test('each acknowledged part begins the time anew', async t => {
  const { b2, clock, begin } = await setUp(t)
  b2.fault({ operation: 'UploadPart', part: 2, action: 'hang' })
  const hung = b2.waitFor('fault')
  // The first part's answer waits for this.
  const slow = b2.fault({ operation: 'UploadPart', part: 1, delayMs: 40_000 })
  let acknowledge = (): void => {}
  const first = new Promise<void>(resolve => { acknowledge = resolve })
  const upload = begin(INFO, { onPartStored: () => { acknowledge() } })
  const state = watched(upload.result)
  await upload.push(PARTS[0])
  await upload.push(PARTS[1], true)
  await hung
  while (slow.applied === 0) await turn()
  await turns()
  clock.advance(40_000)
  await first
  clock.advance(44_999)
  await turns()
  t.equal(state.isSettled, false)
  clock.advance(1_000)
  t.match(await upload.result, NOTHING_ACKNOWLEDGED)
})

t.test('the end waits two seconds to learn which upload was begun', async t => {
  const { b2, clock, writer, begin, left } = await setUp(t)
  b2.fault({ action: 'hang' })
  const hung = b2.waitFor('fault')
  const upload = begin()
  await Promise.all([hung, upload.push(PARTS[0])])
  const closed = writer.close()
  const state = watched(closed)
  await turns()
  clock.advance(1_999)
  await turns()
  t.equal(state.isSettled, false)
  clock.advance(1)
  await closed
  t.match(await upload.result, { ok: false })
  t.same(left, [{ kind: 'uploads', key: KEY }])
  t.equal(clock.timers, 0)
})
