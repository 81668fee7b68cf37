import t from 'tap'
import { createHeartbeat } from '../../services/local-heartbeat.ts'
import { fakeClock } from '../support/fake-clock.ts'

function liveFile (path: string) {
  const file = { path, touched: 0, touch: async () => { file.touched++ } }
  return file
}

t.test('each file is touched once a second, from its beginning to its end', async t => {
  const clock = fakeClock(t)
  const heartbeat = createHeartbeat()
  const [first, second] = [liveFile('/first'), liveFile('/second')]
  heartbeat.add(first)
  clock.advance(999)
  t.equal(first.touched, 0)
  clock.advance(1)
  t.equal(first.touched, 1)
  heartbeat.add(second)
  clock.advance(2_000)
  t.same([first.touched, second.touched], [3, 2])
  heartbeat.delete(first)
  clock.advance(1_000)
  t.same([first.touched, second.touched], [3, 3])
})

t.test('there is one timer while there are files, and none without', async t => {
  const clock = fakeClock(t)
  const heartbeat = createHeartbeat()
  const [first, second] = [liveFile('/first'), liveFile('/second')]
  for (let time = 0; time < 2; time++) {
    heartbeat.add(first)
    heartbeat.add(second)
    t.equal(clock.timers, 1)
    heartbeat.delete(first)
    t.equal(clock.timers, 1)
    heartbeat.delete(second)
    t.equal(clock.timers, 0)
  }
  heartbeat.add(first)
  clock.advance(1_000)
  t.equal(first.touched, 1, 'and it begins again')
  heartbeat.delete(first)
})

t.test('a file belongs to this process until it is done with, and not by the end of another of that name', async t => {
  const clock = fakeClock(t)
  const heartbeat = createHeartbeat()
  const [before, after] = [liveFile('/claim'), liveFile('/claim')]
  t.notOk(heartbeat.has('/claim'))
  heartbeat.add(before)
  heartbeat.add(after)
  heartbeat.delete(before)
  t.ok(heartbeat.has('/claim'))
  t.notOk(heartbeat.has('/other'))
  clock.advance(1_000)
  t.same([before.touched, after.touched], [0, 1])
  heartbeat.delete(after)
  t.notOk(heartbeat.has('/claim'))
})
