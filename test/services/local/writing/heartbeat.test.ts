import t from 'tap'
import { createHeartbeat } from '../../../../services/local/writing/heartbeat.ts'
import { fakeClock } from '../../../support/run/fake-clock.ts'

const SILENT = { announce: async () => {}, touch: async () => {} }

function liveFile (path: string) {
  const file = { path, touched: 0, touch: async () => { file.touched++ } }
  return file
}

t.test('each file is touched once a second, from its beginning to its end', async t => {
  const clock = fakeClock(t)
  const heartbeat = createHeartbeat(SILENT)
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

t.test('a file is this process\'s before it is there, and the process is announced before its first', async t => {
  let announced = 0
  let goOn = (): void => {}
  const announce = async () => {
    announced++
    await new Promise<void>(resolve => { goOn = resolve })
  }
  const heartbeat = createHeartbeat({ ...SILENT, announce })
  let created = 0
  const begin = async (file: ReturnType<typeof liveFile>) => {
    await heartbeat.creating(file.path, async () => { created++ })
    heartbeat.add(file)
  }
  const [first, second] = [liveFile('/first'), liveFile('/second')]
  const both = Promise.all([begin(first), begin(second)])
  t.same([announced, created, heartbeat.has('/first'), heartbeat.has('/second'), heartbeat.has('/third')], [1, 0, true, true, false])
  goOn()
  await both
  t.same([announced, created, heartbeat.has('/first')], [1, 2, true])
  heartbeat.delete(first)
  await begin(first)
  t.equal(announced, 1, 'it has a file')
  heartbeat.delete(first)
  heartbeat.delete(second)
  for (let count = 2; count <= 3; count++) {
    const failing = heartbeat.creating('/first', async () => { throw new Error('no') })
    t.equal(announced, count, 'it had none')
    goOn()
    await t.rejects(failing, { message: 'no' })
    t.notOk(heartbeat.has('/first'))
  }
})

t.test('those who can\'t ask see its beat, too', async t => {
  const clock = fakeClock(t)
  let touched = 0
  const heartbeat = createHeartbeat({ ...SILENT, touch: async () => { touched++ } })
  const file = liveFile('/file')
  heartbeat.add(file)
  clock.advance(2_000)
  heartbeat.delete(file)
  clock.advance(2_000)
  t.equal(touched, 2)
})

t.test('there is one timer while there are files, and none without', async t => {
  const clock = fakeClock(t)
  const heartbeat = createHeartbeat(SILENT)
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
  const heartbeat = createHeartbeat(SILENT)
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
