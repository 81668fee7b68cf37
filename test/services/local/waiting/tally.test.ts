import t from 'tap'
import { Tally } from '../../../../services/local/waiting/tally.ts'

/** The key of a file that was uploaded in that millisecond. */
const keyAt = (time: number): string => `tracks/${time.toString(16).padStart(8, '0')}-0000-774b-bcce-b30209${(time * 7_919).toString(16).padStart(6, '0')}.mp3`
const timeOf = (time: number): number => time * 65_536

function countAll (tally: Tally, ...keys: string[]): void {
  const count = tally.count(true)
  for (const key of keys) count.saw(key)
  count.end(keys, true)
}

t.test('what this process does counts at once, and the oldest is known', async t => {
  const tally = new Tally()
  t.same(tally.waiting, { files: 0, bytes: 0, oldest: undefined, isCounted: false })
  for (const time of [1, 2, 3]) tally.add(keyAt(time), 10 * time)
  t.match(tally.waiting, { files: 3, bytes: 60, oldest: timeOf(1) })
  tally.remove(keyAt(1), 10)
  t.match(tally.waiting, { files: 2, bytes: 50, oldest: timeOf(2) })
  tally.remove(keyAt(3), 30)
  tally.remove(keyAt(2), 20)
  t.match(tally.waiting, { files: 0, bytes: 0, oldest: undefined })
})

t.test('until all has been counted once, it is what was counted so far', async t => {
  const tally = new Tally()
  const [count, measurement] = [tally.count(true), tally.measure()]
  count.saw(keyAt(2))
  measurement.saw(keyAt(2), 5)
  t.same(tally.waiting, { files: 1, bytes: 5, oldest: timeOf(2), isCounted: false })
  count.saw(keyAt(1))
  count.end([keyAt(1), keyAt(2)], true)
  t.same(tally.waiting, { files: 2, bytes: 5, oldest: timeOf(1), isCounted: false })
  measurement.saw(keyAt(1), 7)
  measurement.end()
  t.same(tally.waiting, { files: 2, bytes: 12, oldest: timeOf(1), isCounted: true })
})

t.test('what comes and goes during a reading counts once, wherever the reading is', async t => {
  const tally = new Tally()
  const [count, measurement] = [tally.count(true), tally.measure()]
  for (const time of [1, 2]) {
    count.saw(keyAt(time))
    measurement.saw(keyAt(time), 10)
  }
  tally.remove(keyAt(1), 10) // after it was seen
  tally.remove(keyAt(3), 10) // before
  for (const time of [5, 6, 7]) tally.add(keyAt(time), 10)
  tally.remove(keyAt(7), 10)
  for (const time of [3, 4, 5]) measurement.saw(keyAt(time), 10)
  for (const time of [4, 5]) count.saw(keyAt(time))
  count.end([keyAt(1), keyAt(2), keyAt(4), keyAt(5)], true)
  measurement.end()
  t.same(tally.waiting, { files: 4, bytes: 40, oldest: timeOf(2), isCounted: true })
})

t.test('what others did is known by the next reading, or when it is missed', async t => {
  const tally = new Tally()
  for (const time of [1, 2, 3, 4]) tally.add(keyAt(time), 10)
  countAll(tally, ...[1, 2, 3, 4].map(keyAt))
  tally.markGone(keyAt(1))
  tally.markGone(keyAt(1))
  t.match(tally.waiting, { files: 3, bytes: 30, oldest: timeOf(2) })
  countAll(tally, keyAt(4))
  t.match(tally.waiting, { files: 1, bytes: 10, oldest: timeOf(4) })
})

t.test('a reading that looks further on does not forget what is older, nor count less', async t => {
  const tally = new Tally()
  const first = tally.count(true)
  for (const time of [1, 2, 3, 4]) first.saw(keyAt(time))
  first.end([keyAt(1), keyAt(2)], false)
  tally.remove(keyAt(2), 0)
  const next = tally.count(false)
  for (const time of [1, 3, 4]) next.saw(keyAt(time))
  next.end([keyAt(3), keyAt(4)], true)
  t.match(tally.waiting, { files: 3, oldest: timeOf(1) })
  for (const time of [3, 4]) tally.remove(keyAt(time), 0)
  t.match(tally.waiting, { files: 1, oldest: timeOf(1) })
  tally.remove(keyAt(1), 0)
  t.match(tally.waiting, { files: 0, oldest: undefined })
  tally.count(true).cancel()
  tally.measure().cancel()
})

t.test('a file that a reading sees before it was added counts once', async t => {
  for (const isAll of [true, false]) {
    const tally = new Tally()
    const count = tally.count(true)
    for (const time of [1, 2]) tally.expect(keyAt(time))
    count.saw(keyAt(1))
    tally.add(keyAt(1), 10)
    tally.expectNoMore(keyAt(2))
    count.saw(keyAt(3))
    count.end([keyAt(1), keyAt(3)], isAll)
    t.match(tally.waiting, { files: 2, oldest: timeOf(1) })
  }
})
