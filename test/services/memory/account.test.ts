import t from 'tap'
import { MemoryAccount } from '../../../services/memory/account.ts'
import { open } from '../../support/intake/borrower.ts'
import { fakeClock } from '../../support/run/fake-clock.ts'

const KIB = 1_024
const MIB = 1_048_576
const FAST = 100 * MIB
const SLOW = 10_000
const LASTING = 100_000

/** Longest turn 33 MiB, 8 MiB for small ones, 56 MiB for larger ones. */
function newAccount (): MemoryAccount {
  return new MemoryAccount({ budgetBytes: 64 * MIB, windowBytes: 32 * MIB, partBytes: 8 * MIB })
}

t.test('pays out, takes back, and knows what is held', async t => {
  const account = newAccount()
  t.equal(account.budgetBytes, 64 * MIB)
  const upload = open(account, { need: 5 * MIB, rate: FAST })
  t.ok(upload.take(64 * KIB))
  t.same([account.heldBytes, account.committedBytes], [64 * KIB, 5 * MIB], 'the first buffer is all that is paid; a fast one will take all it needs')
  t.ok(upload.take(MIB))
  t.same([account.heldBytes, account.committedBytes], [MIB + 64 * KIB, 5 * MIB], 'a fast one will take all it needs')
  upload.rate = LASTING
  t.equal(account.committedBytes, MIB + 64 * KIB + 10 * LASTING, 'what is set aside follows its rate')
  upload.lease.takesNoMore()
  t.equal(account.committedBytes, MIB + 64 * KIB)
  upload.lease.give(MIB)
  t.equal(account.heldBytes, 64 * KIB)
  upload.lease.close()
  upload.lease.close()
  upload.lease.give(64 * KIB)
  t.same([account.heldBytes, account.committedBytes], [0, 0])
})

t.test('once the window is outgrown an upload needs one part at a time, and what the store has comes back', async t => {
  const account = newAccount()
  const upload = open(account, { rate: FAST, need: 1_000 * MIB })
  upload.take(64 * KIB)
  upload.take(8 * MIB - 64 * KIB)
  t.equal(account.committedBytes, 33 * MIB)
  for (let part = 0; part < 3; part++) t.ok(upload.take(8 * MIB))
  upload.lease.goByParts(0)
  t.equal(account.committedBytes, 32 * MIB)
  upload.lease.give(24 * MIB)
  t.ok(upload.take(4 * MIB))
  t.same([account.heldBytes, account.committedBytes], [12 * MIB, 16 * MIB])
  upload.lease.close()
  t.equal(account.committedBytes, 0)
})

t.test('small uploads have an eighth to themselves, whatever the larger ones hold', async t => {
  for (const need of [MIB, Infinity]) {
    const account = newAccount()
    const large = Array.from({ length: 100 }, () => open(account, { need: 1_000 * MIB, rate: LASTING }))
    for (const upload of large) if (upload.take(64 * KIB)) upload.take(MIB)
    large[0]!.take(24 * MIB)
    const small = open(account, { need, rate: FAST })
    t.ok(small.take(64 * KIB))
    t.ok(small.take(MIB - 64 * KIB))
    for (const { lease } of [...large, small]) lease.close()
    t.same([account.heldBytes, account.committedBytes, account.waiting], [0, 0, 0])
  }
})

t.test('one that turns out large makes way for small ones while it waits', async t => {
  const account = newAccount()
  const holder = open(account, { need: 20 * MIB, rate: FAST })
  holder.take(20 * MIB)
  const unknown = Array.from({ length: 4 }, () => open(account, { rate: FAST }))
  const turns = unknown.map(upload => [upload.take(64 * KIB), upload.take(MIB - 64 * KIB), upload.take(7 * MIB)])
  t.same(turns.map(([first, rest]) => [first, rest]), Array(4).fill([true, true]))
  const waiting = unknown.filter((_, index) => turns[index]![2] === false)
  t.ok(waiting.length > 0 && waiting.length < 4, 'each may need 33 MiB, so they take turns')
  const small = Array.from({ length: 8 }, () => open(account, { need: MIB, rate: FAST }))
  t.same(small.map(upload => upload.take(MIB)), Array(8).fill(true), 'none of them is in the share of small ones any more')
  for (const { lease } of small) lease.close()
  unknown.find(upload => !waiting.includes(upload))!.lease.close()
  t.equal(waiting[0]!.granted.length, 3, 'the next one has its turn')
  for (const { lease } of [...unknown, holder]) lease.close()
  t.same([account.heldBytes, account.waiting], [0, 0])
})

t.test('turns begin in order, nobody who stopped waiting is served, and the timer ends with the last', async t => {
  const clock = fakeClock(t)
  const account = newAccount()
  const holder = open(account, { need: 50 * MIB, rate: FAST })
  holder.take(33 * MIB)
  const waiting = [0, 1, 2, 3].map(() => open(account, { need: 27 * MIB, rate: FAST }))
  for (const upload of waiting) t.notOk(upload.take(24 * MIB))
  t.same([account.waiting, clock.timers], [4, 1])
  waiting[0]!.lease.stopWaiting()
  waiting[1]!.lease.close()
  holder.lease.close()
  t.same(waiting.map(({ granted }) => granted.length), [0, 0, 1, 1])
  t.same([account.waiting, clock.timers], [0, 0])
  for (const { lease } of waiting) lease.close()
  t.equal(account.committedBytes, 0)
})

t.test('who waits for a second is not passed for some seconds, unless it waits for one that lasts', async t => {
  for (const [rate, passes] of [[FAST, false], [LASTING, true]] as const) {
    const clock = fakeClock(t)
    const account = newAccount()
    const holder = open(account, { need: 33 * MIB, rate: FAST })
    holder.take(30 * MIB)
    holder.rate = rate
    const large = open(account, { need: 30 * MIB, rate: FAST })
    t.notOk(large.take(27 * MIB))
    clock.advance(1_000)
    const other = open(account, { need: 8 * MIB, rate: FAST })
    t.equal(other.take(8 * MIB), passes)
    clock.advance(5_000)
    t.equal(other.granted.length, 1, 'and not for longer')
    for (const { lease } of [holder, large, other]) lease.close()
  }
})

t.test('those that last leave room for those that don\'t, and go on one after the other', async t => {
  const account = newAccount()
  const lasting = Array.from({ length: 5 }, () => open(account, { need: 1_000 * MIB, rate: LASTING }))
  for (const upload of lasting) upload.take(64 * KIB)
  for (let round = 0; round < 60; round++) for (const upload of lasting) if (upload.granted.length > round && upload.lease.held < 32 * MIB) upload.take(MIB)
  t.ok(account.heldBytes <= 33 * MIB + 5 * 64 * KIB, `${account.heldBytes} bytes: as much as one of them needs`)
  const fast = open(account, { need: 20 * MIB, rate: FAST })
  t.ok(fast.take(20 * MIB))
  fast.lease.close()
  const first = lasting.find(({ lease }) => lease.held >= Math.max(...lasting.map(({ lease }) => lease.held)))!
  const waiting = account.waiting
  first.lease.close()
  t.ok(account.waiting < waiting, 'when one is gone the others go on')
  for (const { lease } of lasting) lease.close()
  t.same([account.heldBytes, account.waiting], [0, 0])
})

t.test('what an upload has begun it can finish, though its client has become slower than it was', async t => {
  const clock = fakeClock(t)
  const account = newAccount()
  const uploads = Array.from({ length: 3 }, () => open(account, { need: 25 * MIB, rate: FAST }))
  t.same(uploads.map(upload => upload.take(16 * MIB)), [true, true, false], 'two can finish, one after the other')
  for (const upload of uploads) upload.rate = LASTING
  clock.advance(2_000)
  for (const upload of uploads.slice(0, 2)) upload.take(9 * MIB)
  t.equal(uploads.filter(({ lease }) => lease.held === 25 * MIB).length, 1)
  uploads.find(({ lease }) => lease.held === 25 * MIB)!.lease.close()
  t.ok(uploads.some(({ lease }) => lease.held === 25 * MIB), 'and then the next one')
  for (const { lease } of uploads) lease.close()
  t.equal(account.heldBytes, 0)
})

t.test('clients below 64 KiB/s are ended for one that waits, slowest first and no more than needed', async t => {
  const clock = fakeClock(t)
  const account = newAccount()
  const slow = [30_000, 10_000, 20_000, 65_536].map(rate => {
    const upload = open(account, { need: 14 * MIB })
    upload.take(64 * KIB)
    t.ok(upload.take(13 * MIB))
    upload.rate = rate
    return upload
  })
  clock.advance(60_000)
  t.notOk(slow.some(({ ended }) => ended), 'nobody waits')
  const fast = open(account, { need: 8 * MIB, rate: FAST })
  fast.take(64 * KIB)
  t.notOk(fast.take(7 * MIB))
  clock.advance(999)
  t.notOk(slow.some(({ ended }) => ended))
  clock.advance(1)
  t.same(slow.map(({ ended }) => ended), [false, true, false, false])
  clock.advance(10_000)
  t.same(slow.map(({ ends }) => ends), [0, 1, 0, 0], 'what one that was ended holds counts already, and each is told once')
  slow[1]!.lease.close()
  t.equal(fast.granted.length, 2)
})

t.test('slow uploads are not ended if that would not help the one that waits, and may use what nobody else wants', async t => {
  const clock = fakeClock(t)
  const account = newAccount()
  const holder = open(account, { need: 33 * MIB, rate: FAST })
  holder.take(33 * MIB)
  const slow = open(account, { need: 1_000 * MIB, rate: SLOW })
  slow.take(64 * KIB)
  for (let taken = 0; taken < 10; taken++) t.ok(slow.take(MIB))
  const fast = open(account, { need: 1_000 * MIB, rate: FAST })
  fast.take(64 * KIB)
  t.notOk(fast.take(24 * MIB))
  clock.advance(10_000)
  t.notOk(slow.ended)
  holder.lease.close()
  t.equal(fast.granted.length, 2, 'its turn comes without that')
  t.notOk(slow.ended)
})

t.test('promotions wait for all others', async t => {
  const account = newAccount()
  const holder = open(account, { need: 33 * MIB, rate: FAST })
  holder.take(33 * MIB)
  const order: string[] = []
  const promotion = account.open({ need: 24 * MIB, isBackground: true, rate: () => undefined, end: () => {} })
  t.notOk(promotion.take(24 * MIB, () => { order.push('promotion') }))
  const upload = account.open({ need: 30 * MIB, rate: () => FAST, end: () => {} })
  t.notOk(upload.take(30 * MIB, () => { order.push('upload') }))
  holder.lease.close()
  t.same(order, ['upload', 'promotion'])
  for (const lease of [promotion, upload]) lease.close()
  t.equal(account.heldBytes, 0)
})

t.test('one thousand that wait cost next to nothing', async t => {
  const account = new MemoryAccount({ budgetBytes: 256 * MIB, windowBytes: 32 * MIB, partBytes: 8 * MIB })
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
