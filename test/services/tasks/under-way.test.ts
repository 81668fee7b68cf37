import t from 'tap'
import { UnderWay } from '../../../services/tasks/under-way.ts'
import { fakeClock } from '../../support/run/fake-clock.ts'

/** Whether a promise has settled by now. */
async function isSettled (promise: Promise<void>): Promise<boolean> {
  return await Promise.race([promise.then(() => true), new Promise<boolean>(resolve => { setImmediate(() => resolve(false)) })])
}

t.test('it counts what is under way', async t => {
  const items = new UnderWay<string>()
  items.add('a')
  items.add('b')
  t.equal(items.size, 2)
  items.done('a')
  items.done('never added')
  t.equal(items.size, 1)
})

t.test('with nothing under way it is drained at once, and no timer is left', async t => {
  const clock = fakeClock(t)
  await new UnderWay<string>().stop(1_000, () => t.fail('there is nothing to end'))
  t.equal(clock.timers, 0)
})

t.test('it waits for what is under way, to the last', async t => {
  const clock = fakeClock(t)
  const items = new UnderWay<string>()
  items.add('a')
  items.add('b')
  const drained = items.stop(1_000, () => t.fail('all ended in time'))
  items.done('a')
  t.notOk(await isSettled(drained))
  items.done('b')
  await drained
  t.equal(clock.timers, 0, 'and no timer is left')
  clock.advance(2_000)
})

t.test('what is still under way after the grace is ended, and waited for', async t => {
  const clock = fakeClock(t)
  const items = new UnderWay<string>()
  for (const item of ['a', 'b', 'c']) items.add(item)
  const ended: string[] = []
  const drained = items.stop(1_000, item => { ended.push(item) })
  items.done('b')
  clock.advance(999)
  t.same(ended, [])
  clock.advance(1)
  t.same(ended, ['a', 'c'])
  t.notOk(await isSettled(drained))
  items.done('a')
  items.done('c')
  await drained
})
