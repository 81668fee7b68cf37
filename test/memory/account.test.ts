import t from 'tap'
import { MemoryAccount } from '../../services/memory-account.ts'
import { open } from '../support/borrower.ts'
import { fakeClock } from '../support/fake-clock.ts'

const KIB = 1_024
const MIB = 1_048_576
const FAST = 1_000_000
const SLOW = 10_000

t.test('pays out, takes back, and knows what is held', async t => {
  const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: 40 * MIB })
  const upload = open(account, { need: 5 * MIB })
  t.ok(upload.take(64 * KIB))
  t.equal(account.heldBytes, 64 * KIB)
  t.equal(account.committedBytes, 64 * KIB, 'the first buffer is all that is paid')
  t.ok(upload.take(4 * MIB))
  t.equal(account.heldBytes, 4 * MIB + 64 * KIB)
  t.equal(account.committedBytes, 5 * MIB, 'all that it needs is set aside')
  upload.lease.give(4 * MIB)
  t.equal(account.heldBytes, 64 * KIB)
  t.equal(account.committedBytes, 5 * MIB)
  upload.lease.close()
  upload.lease.close()
  upload.lease.give(64 * KIB)
  t.equal(account.heldBytes, 0)
  t.equal(account.committedBytes, 0)
})

t.test('an upload whose need is not known gets the largest set aside, and gives back what it turns out not to need', async t => {
  const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: 40 * MIB })
  const upload = open(account)
  upload.take(64 * KIB)
  upload.take(MIB)
  t.equal(account.committedBytes, 40 * MIB)
  const other = open(account, { need: 30 * MIB })
  other.take(64 * KIB)
  t.notOk(other.take(8 * MIB))
  upload.lease.takesNoMore()
  t.same(other.granted, [64 * KIB, 8 * MIB], 'the one that waited has it')
  t.equal(account.committedBytes, MIB + 64 * KIB + 30 * MIB)
  upload.lease.give(MIB)
  t.equal(account.committedBytes, 64 * KIB + 30 * MIB)
  upload.lease.close()
  other.lease.close()
  t.equal(account.committedBytes, 0)
})

t.test('uploads that don\'t fit wait, oldest first, and nobody who stopped waiting is served', async t => {
  const clock = fakeClock(t)
  const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: 40 * MIB })
  const holder = open(account, { need: 40 * MIB })
  holder.take(40 * MIB)
  const waiting = [0, 1, 2, 3].map(() => open(account, { need: 30 * MIB }))
  for (const upload of waiting) {
    t.ok(upload.take(64 * KIB))
    t.notOk(upload.take(8 * MIB))
  }
  t.equal(account.waiting, 4)
  waiting[0]!.lease.stopWaiting()
  waiting[1]!.lease.close()
  holder.lease.close()
  t.same(waiting.map(({ granted }) => granted.length), [1, 1, 2, 2])
  t.equal(account.waiting, 0)
  t.equal(clock.timers, 0, 'nothing is watched when nobody waits')
  for (const { lease } of waiting) lease.close()
  t.equal(account.committedBytes, 0)
})

t.test('the timer ends when the last one stops waiting', async t => {
  const clock = fakeClock(t)
  const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: 40 * MIB })
  open(account, { need: 40 * MIB }).take(40 * MIB)
  for (const stop of ['stopWaiting', 'close'] as const) {
    const upload = open(account, { need: 40 * MIB })
    upload.take(64 * KIB)
    t.notOk(upload.take(MIB))
    t.equal(clock.timers, 1)
    upload.lease[stop]()
    t.equal(clock.timers, 0)
  }
})

t.test('a smaller upload passes one that waits, but not for longer than a second', async t => {
  const clock = fakeClock(t)
  const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: 40 * MIB })
  open(account, { need: 40 * MIB }).take(40 * MIB)
  const large = open(account, { need: 40 * MIB })
  large.take(64 * KIB)
  t.notOk(large.take(8 * MIB))
  const small = open(account, { need: 2 * MIB })
  small.take(64 * KIB)
  t.ok(small.take(2 * MIB - 64 * KIB))
  clock.advance(1_000)
  const late = open(account, { need: 2 * MIB })
  t.ok(late.take(64 * KIB), 'a first buffer is had at any time')
  t.notOk(late.take(2 * MIB - 64 * KIB))
  t.equal(account.waiting, 2)
})

t.test('the first buffers of many uploads leave room for one that needs most', async t => {
  const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: 60 * MIB })
  const uploads = Array.from({ length: 1_000 }, () => open(account))
  const served = uploads.filter(upload => upload.take(64 * KIB))
  t.ok(served.length >= 64)
  const held = account.heldBytes
  t.ok(held <= 64 * MIB)
  for (const upload of served) upload.take(MIB)
  t.ok(account.heldBytes > held, 'one goes on')
})

t.test('an upload that needs more than can be set aside goes on with what it pays back itself', async t => {
  const clock = fakeClock(t)
  const account = new MemoryAccount({ budgetBytes: 33 * MIB, largestNeedBytes: 24 * MIB })
  const upload = open(account, { rate: FAST })
  for (let part = 0; part < 3; part++) t.ok(upload.take(8 * MIB))
  t.notOk(upload.take(8 * MIB))
  const other = open(account, { rate: FAST, need: 4 * MIB })
  t.ok(other.take(64 * KIB))
  clock.advance(5_000)
  t.ok(other.take(3 * MIB), 'others need not wait behind it')
  upload.lease.give(8 * MIB)
  t.equal(upload.granted.length, 4)
  t.notOk(upload.ended || other.ended)
})

t.test('slow uploads are ended for one that waits, slowest first and no more than needed', async t => {
  const clock = fakeClock(t)
  const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: 40 * MIB })
  const slow = [30_000, 10_000, 20_000].map(rate => {
    const upload = open(account, { need: 20 * MIB })
    upload.take(64 * KIB)
    upload.take(20 * MIB - 64 * KIB)
    upload.rate = rate
    return upload
  })
  clock.advance(60_000)
  t.notOk(slow.some(({ ended }) => ended), 'nobody waits')
  const fast = open(account, { need: 24 * MIB, rate: FAST })
  fast.take(64 * KIB)
  t.notOk(fast.take(8 * MIB))
  clock.advance(999)
  t.notOk(slow.some(({ ended }) => ended))
  clock.advance(1)
  t.same(slow.map(({ ended }) => ended), [false, true, false])
  clock.advance(10_000)
  t.same(slow.map(({ ended }) => ended), [false, true, false], 'what one that was ended holds counts already')
  slow[1]!.lease.close()
  t.equal(fast.granted.length, 2)
  t.equal(account.waiting, 0)
})

t.test('slow uploads are not ended where that would not help the one that waits', async t => {
  const clock = fakeClock(t)
  const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: 40 * MIB })
  const holder = open(account, { need: 40 * MIB, rate: FAST })
  holder.take(MIB)
  holder.take(39 * MIB)
  const slow = open(account, { rate: SLOW })
  slow.take(10 * MIB)
  const fast = open(account, { need: 40 * MIB, rate: FAST })
  fast.take(64 * KIB)
  t.notOk(fast.take(8 * MIB))
  clock.advance(10_000)
  t.notOk(slow.ended)
  holder.lease.close()
  t.equal(fast.granted.length, 2, 'its turn comes without that')
  t.notOk(slow.ended)
})

t.test('what was set aside for a slow upload and not taken goes to others without ending it', async t => {
  const clock = fakeClock(t)
  const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: 40 * MIB })
  const slow = open(account, { need: 40 * MIB })
  slow.take(64 * KIB)
  slow.take(MIB)
  slow.rate = SLOW
  const fast = open(account, { need: 40 * MIB, rate: FAST })
  fast.take(64 * KIB)
  t.notOk(fast.take(8 * MIB))
  clock.advance(2_000)
  t.equal(fast.granted.length, 2)
  t.notOk(slow.ended)
})

t.test('a fast upload that waits is served before slow ones that wait for longer', async t => {
  const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: 40 * MIB })
  const holder = open(account, { need: 40 * MIB })
  holder.take(40 * MIB)
  const uploads = [SLOW, SLOW, FAST, FAST].map(rate => {
    const upload = open(account, { need: 40 * MIB, rate })
    upload.take(64 * KIB)
    t.notOk(upload.take(30 * MIB))
    return upload
  })
  holder.lease.close()
  t.same(uploads.map(({ granted }) => granted.length), [1, 1, 2, 1])
})

t.test('slow uploads may use what nobody else wants', async t => {
  const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: 56 * MIB })
  const slow = open(account, { need: 40 * MIB, rate: SLOW })
  for (let taken = 0; taken < 40; taken += 4) t.ok(slow.take(4 * MIB), `${taken + 4} MiB`)
})

t.test('one thousand that wait cost next to nothing', async t => {
  const account = new MemoryAccount({ budgetBytes: 256 * MIB, largestNeedBytes: 40 * MIB })
  let asked = 0
  const leases = Array.from({ length: 1_000 }, () => account.open({
    need: 5 * MIB,
    rate: () => {
      asked++
      return FAST
    },
    end: () => {},
  }))
  for (const lease of leases) lease.take(64 * KIB, () => {})
  for (const lease of leases) lease.take(5 * MIB - 64 * KIB, () => {})
  for (const lease of leases) lease.close()
  t.equal(account.committedBytes, 0)
  t.ok(asked < 100_000, `${asked} looks at a rate`)
})
