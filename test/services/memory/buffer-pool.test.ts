import t from 'tap'
import { BufferPool, bufferSize } from '../../../services/memory/buffer-pool.ts'
import { fakeClock } from '../../support/run/fake-clock.ts'

const KIB = 1_024
const MIB = 1_048_576

t.test('sizes are few: powers of two up to a MiB, whole MiB above', async t => {
  const sizes: [number, number][] = [
    [0, 64 * KIB], [1, 64 * KIB], [64 * KIB, 64 * KIB], [64 * KIB + 1, 128 * KIB], [MIB - 1, MIB], [MIB, MIB],
    [MIB + 1, 2 * MIB], [5 * MIB, 5 * MIB], [5 * MIB + 1, 6 * MIB], [8 * MIB, 8 * MIB],
  ]
  for (const [bytes, size] of sizes) t.equal(bufferSize(bytes), size, `${bytes} bytes`)
})

t.test('a buffer that was given back is lent again, one that somebody may still read is not', async t => {
  const pool = new BufferPool(16 * MIB)
  const first = pool.lend(MIB)
  t.equal(first.byteLength, MIB)
  t.not(pool.lend(MIB), first, 'one that is lent out is nobody else\'s')
  pool.takeBack(first)
  t.not(pool.lend(64 * KIB), first)
  t.equal(pool.lend(MIB), first)
  pool.takeBack(first, false)
  t.not(pool.lend(MIB), first)
})

t.test('what is lent and what is kept stay within the limit together', async t => {
  const pool = new BufferPool(8 * MIB)
  const kept = Array.from({ length: 8 }, () => pool.lend(MIB))
  for (const buffer of kept) pool.takeBack(buffer)
  pool.lend(3 * MIB)
  const again = Array.from({ length: 8 }, () => pool.lend(MIB))
  t.equal(again.filter(buffer => kept.includes(buffer)).length, 5, 'three made room, and no more than that')
})

t.test('a buffer is lent as often as one likes', async t => {
  const pool = new BufferPool(MIB)
  const only = pool.lend(MIB)
  for (let time = 0; time < 3; time++) {
    pool.takeBack(only)
    t.equal(pool.lend(MIB), only)
  }
})

t.test('a buffer that comes back beyond the limit is dropped', async t => {
  const pool = new BufferPool(2 * MIB)
  const lent = Array.from({ length: 3 }, () => pool.lend(MIB))
  for (const buffer of lent) pool.takeBack(buffer)
  const again = Array.from({ length: 3 }, () => pool.lend(MIB))
  t.equal(again.filter(buffer => lent.includes(buffer)).length, 2)
})

t.test('nothing is kept once the pool was idle for five seconds, and its timer ends', async t => {
  const clock = fakeClock(t)
  const pool = new BufferPool(8 * MIB)
  const buffer = pool.lend(MIB)
  pool.takeBack(buffer)
  clock.advance(4_000)
  t.equal(pool.lend(MIB), buffer)
  pool.takeBack(buffer)
  clock.advance(4_000)
  t.equal(pool.lend(MIB), buffer, 'each use begins the time anew')
  pool.takeBack(buffer)
  clock.advance(5_000)
  t.not(pool.lend(MIB), buffer)
  t.equal(clock.timers, 0)

  pool.takeBack(buffer)
  t.equal(clock.timers, 1)
  pool.clear()
  t.equal(clock.timers, 0)
})
