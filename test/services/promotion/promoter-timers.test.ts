import t from 'tap'
import { fakeClock } from '../../support/run/fake-clock.ts'
import { gate, REPORT, setPromoter, settled } from '../../support/promotion/promoter-stage.ts'

t.test('it cleans up and promotes once in a while, counted from the end of a pass, also of one that failed', async t => {
  const clock = fakeClock(t)
  const { add, done, stage, promoter } = setPromoter()
  promoter.start()
  await settled()
  done.length = 0
  clock.advance(999)
  await settled()
  t.same(done, [])
  const { open, opened } = gate()
  stage.searching = opened.then(() => { throw new Error('no') })
  stage.searching.catch(() => {})
  clock.advance(1)
  await settled()
  t.same(done, ['clean up', 'search'])
  t.equal(clock.timers, 0, 'not before it has ended')
  open()
  await settled()
  stage.searching = Promise.resolve()
  const key = add()
  clock.advance(1_000)
  await settled()
  t.same(done, ['clean up', 'search', 'clean up', 'search', `claim ${key}`, `remove ${key}`])
  await promoter.close()
  t.equal(clock.timers, 0)
})

t.test('where promotion is off it cleans up each minute, and only looks', async t => {
  const clock = fakeClock(t)
  const { add, done, promoter } = setPromoter({ intervalMs: 0 })
  promoter.start()
  await settled()
  add()
  for (let minute = 1; minute < 3; minute++) {
    done.length = 0
    clock.advance(59_999)
    await settled()
    t.same(done, [])
    clock.advance(1)
    await settled()
    t.same([done, promoter.waiting.files], [['clean up', 'search'], 1])
  }
  await promoter.close()
})

t.test('at the end a pass stops at a safe point, and is waited for; no other begins', async t => {
  const clock = fakeClock(t)
  const { add, done, stage, promoter } = setPromoter()
  add()
  add()
  const { open, opened } = gate()
  stage.claiming = opened
  promoter.start()
  const [promoting, next] = [promoter.promote(), promoter.promote()]
  promoter.wake()
  await settled()
  done.length = 0
  let isClosed = false
  const closing = promoter.close(60_000).then(() => { isClosed = true })
  await settled()
  t.notOk(isClosed)
  open()
  await closing
  t.same([await promoting, await next, await promoter.promote()], Array.from({ length: 3 }, () => ({ ...REPORT, pending: 2 })))
  await settled()
  t.same(done, [])
  t.equal(clock.timers, 0)
})

t.test('at the end and for a removal nobody waits for another owner', async t => {
  const { add, stage, promoter } = setPromoter()
  const key = add()
  stage.isClaimedElsewhere = true
  for (const end of [() => promoter.stopWriting(key), () => promoter.close(60_000)]) {
    const promoting = promoter.promote()
    await settled()
    await end()
    t.match(await promoting, { promoted: 0, failed: 0, skipped: 0 })
  }
})

t.test('a pass that began by itself is waited for, too, and is the last', async t => {
  const clock = fakeClock(t)
  const { done, stage, promoter } = setPromoter()
  const { open, opened } = gate()
  promoter.start()
  await settled()
  stage.searching = opened.then(() => { throw new Error('no') })
  stage.searching.catch(() => {})
  clock.advance(1_000)
  await settled()
  const closing = promoter.close()
  await settled()
  open()
  await closing
  t.equal(clock.timers, 0)
  clock.advance(10_000)
  await settled()
  t.same(done, ['search', 'clean up', 'search'])
})

t.test('after its grace a pass is cut wherever it is', async t => {
  const clock = fakeClock(t)
  const told: string[] = []
  const { add, files, promoter } = setPromoter({ onPromoted: ({ track }) => { told.push(track.key); return new Promise(() => {}) } })
  const key = add()
  const promoting = promoter.promote()
  await settled()
  t.same(told, [key])
  const closing = promoter.close(5_000)
  clock.advance(4_999)
  await settled()
  t.equal(clock.timers, 1)
  clock.advance(1)
  await closing
  t.match(await promoting, { promoted: 0, pending: 1 })
  t.ok(files.has(key))
})
