import t from 'tap'
import { MemoryAccount } from '../../services/memory-account.ts'
import { open } from '../support/borrower.ts'
import type { TestBorrower } from '../support/borrower.ts'
import { fakeClock } from '../support/fake-clock.ts'

const KIB = 1_024
const MIB = 1_048_576
const FAST = 1_000_000
const SLOW = 10_000

/** One that has all it needs set aside, and uses it. */
function admitted (account: MemoryAccount, bytes: number): TestBorrower {
  const upload = open(account, { need: bytes, rate: FAST })
  upload.take(64 * KIB)
  upload.take(bytes - 64 * KIB)
  return upload
}

function slowOne (account: MemoryAccount, bytes: number, rate = SLOW): TestBorrower {
  const upload = open(account, { rate })
  upload.take(bytes)
  return upload
}

t.test('what is paid loose ends where one that needs most would not fit any more, and at half of the budget', async t => {
  for (const [largestNeed, loose] of [[40, 24], [20, 32]] as const) {
    const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: largestNeed * MIB })
    for (let count = 1; count <= loose; count++) {
      slowOne(account, MIB)
      t.equal(account.committedBytes, count * MIB, `${count} MiB`)
    }
    t.ok(open(account).take(64 * KIB), 'the next one is admitted')
    t.equal(account.committedBytes, (loose + largestNeed) * MIB)
  }
})

t.test('the budget is used to its last byte, and no further', async t => {
  const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: 40 * MIB })
  admitted(account, 40 * MIB)
  admitted(account, 23 * MIB)
  t.ok(open(account).take(MIB))
  t.equal(account.heldBytes, 64 * MIB)
  t.notOk(open(account).take(1))
})

t.test('what is paid loose is given back as it was taken, also by one that takes no more', async t => {
  const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: 40 * MIB })
  t.equal(account.budgetBytes, 64 * MIB)
  const upload = slowOne(account, 3 * MIB)
  upload.lease.give(MIB)
  t.same([account.heldBytes, account.committedBytes], [2 * MIB, 2 * MIB])
  upload.lease.takesNoMore()
  t.same([account.heldBytes, account.committedBytes], [2 * MIB, 2 * MIB])
  upload.lease.give(MIB)
  t.same([account.heldBytes, account.committedBytes], [MIB, MIB])
  const other = admitted(account, 5 * MIB)
  for (const { lease } of [upload, other]) {
    lease.close()
    lease.takesNoMore()
    lease.give(MIB)
  }
  t.same([account.heldBytes, account.committedBytes], [0, 0], 'all of it, once')
})

t.test('one that comes with 64 KiB/s is not slow', async t => {
  for (const [rate, committed] of [[65_535, 2 * MIB], [65_536, 40 * MIB], [undefined, 40 * MIB]] as const) {
    const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: 40 * MIB })
    const upload = open(account, { rate })
    upload.take(MIB)
    upload.take(MIB)
    t.equal(account.committedBytes, committed, `${rate}`)
  }
})

t.test('one that asks for more than it said is admitted with that', async t => {
  const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: 40 * MIB })
  const upload = open(account, { need: MIB, rate: FAST })
  upload.take(64 * KIB)
  t.ok(upload.take(8 * MIB))
  t.equal(account.committedBytes, 8 * MIB + 64 * KIB)
})

t.test('one that holds more than is ever set aside for one keeps all of it when it is admitted', async t => {
  const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: 20 * MIB })
  const upload = slowOne(account, 28 * MIB)
  t.notOk(upload.take(8 * MIB))
  t.equal(account.committedBytes, 28 * MIB)
  upload.lease.give(8 * MIB)
  t.same(upload.granted, [28 * MIB, 8 * MIB])
  t.equal(account.committedBytes, 28 * MIB)
})

t.test('slow ones are served in the order in which they came', async t => {
  const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: 40 * MIB })
  const holder = admitted(account, 40 * MIB)
  const slow = Array.from({ length: 3 }, () => slowOne(account, 7 * MIB))
  for (const upload of slow) t.notOk(upload.take(30 * MIB))
  holder.lease.close()
  t.same(slow.map(({ granted }) => granted.length), [2, 1, 1])
  slow[0]!.lease.close()
  t.same(slow.map(({ granted }) => granted.length), [2, 2, 1])
})

t.test('who waits for a second is not passed by anybody, neither by one that waits nor by one that comes', async t => {
  const clock = fakeClock(t)
  const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: 40 * MIB })
  const holder = admitted(account, 40 * MIB)
  const others = [admitted(account, 10 * MIB), admitted(account, 10 * MIB)]
  const slow = slowOne(account, MIB)
  const [large, early, late] = [40 * MIB, 8 * MIB, 8 * MIB].map(need => open(account, { need, rate: FAST }))
  for (const upload of [large!, early!, late!]) {
    upload.take(64 * KIB)
    t.notOk(upload.take(4 * MIB))
  }
  clock.advance(999)
  others[0]!.lease.give(10 * MIB)
  others[0]!.lease.close()
  t.same([large!, early!, late!].map(({ granted }) => granted.length), [1, 2, 1], 'until then a small one may')
  clock.advance(1)
  others[1]!.lease.close()
  t.equal(late!.granted.length, 1)
  t.notOk(slow.take(MIB), 'though there is room for what is paid loose')
  holder.lease.close()
  t.same([large!, late!, slow].map(({ granted }) => granted.length), [2, 2, 2])
})

t.test('no more slow ones are ended than what is missing takes, to the byte', async t => {
  const cases: [name: string, fast: number[], slow: number[], wanted: number, ended: number[]][] = [
    ['all is in use', [40], [12, 12], 12, [1, 0]],
    ['all is in use, and all of them are just enough', [40], [12, 12], 24, [1, 1]],
    ['what is paid loose is in use', [30], [12, 12], 1, [1, 0]],
    ['what is paid loose is not in use, but the budget is', [40, 20], [4], 1, [1]],
  ]
  for (const [name, fast, slow, wanted, ended] of cases) {
    await t.test(name, async t => {
      const clock = fakeClock(t)
      const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: 40 * MIB })
      for (const size of fast) admitted(account, size * MIB)
      const endable = slow.map((size, index) => slowOne(account, size * MIB, SLOW + index))
      const idle = open(account, { rate: 1 })
      const first = open(account)
      t.notOk(first.take(wanted * MIB))
      clock.advance(1_000)
      t.equal(idle.ends, 0, 'one that holds nothing is none of them')
      t.same(endable.map(({ ends }) => ends), ended)
      clock.advance(5_000)
      t.same(endable.map(({ ends }) => ends), ended, 'each is told once')
      for (const { ended, lease } of endable) if (ended) lease.close()
      t.same(first.granted, [wanted * MIB])
    })
  }
})

t.test('nobody loses anything before somebody has waited for a second', async t => {
  const clock = fakeClock(t)
  const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: 40 * MIB })
  const slow = open(account, { need: 40 * MIB, rate: FAST })
  slow.take(64 * KIB)
  slow.take(20 * MIB - 64 * KIB)
  slow.rate = SLOW
  const [early, late] = [0, 500].map(begin => {
    clock.advance(begin)
    const upload = open(account, { need: 30 * MIB, rate: FAST })
    upload.take(64 * KIB)
    t.notOk(upload.take(30 * MIB - 64 * KIB))
    return upload
  })
  early!.lease.close()
  clock.advance(999)
  t.equal(account.committedBytes, 40 * MIB + 64 * KIB, 'the first one that waited is gone')
  clock.advance(501)
  t.equal(late!.granted.length, 2)
  t.equal(account.committedBytes, 50 * MIB)
  t.equal(slow.ends, 0, 'what it did not use was enough')
  t.notOk(slow.take(5 * MIB), 'and it has to ask for more as everybody else')
  t.equal(account.heldBytes, 50 * MIB)
})

t.test('one that waits is not ended for itself, slow as it may be', async t => {
  const clock = fakeClock(t)
  const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: 40 * MIB })
  const holder = admitted(account, 40 * MIB)
  const slow = slowOne(account, 10 * MIB)
  t.notOk(slow.take(20 * MIB))
  clock.advance(3_000)
  t.equal(slow.ends, 0)
  holder.lease.close()
  t.equal(slow.granted.length, 2)
})

t.test('one that was slow while others waited is ended for them only where nobody else will give anything back', async t => {
  const clock = fakeClock(t)
  const account = new MemoryAccount({ budgetBytes: 64 * MIB, largestNeedBytes: 60 * MIB })
  const holder = admitted(account, 30 * MIB)
  const turned = admitted(account, 10 * MIB)
  const newcomer = open(account)
  newcomer.take(64 * KIB)
  turned.rate = SLOW
  const first = open(account, { need: 60 * MIB, rate: FAST })
  first.take(64 * KIB)
  t.notOk(first.take(MIB))
  clock.advance(2_000)
  t.equal(turned.ends, 0, 'that would not be enough')
  t.equal(account.committedBytes, 40 * MIB + 128 * KIB)
  turned.rate = FAST
  newcomer.rate = FAST / 2
  clock.advance(2_000)
  holder.lease.takesNoMore()
  holder.lease.give(27 * MIB)
  clock.advance(2_000)
  t.equal(turned.ends, 0, 'the other one goes on, and will give more')
  holder.lease.close()
  t.equal(first.granted.length, 1)
  t.equal(turned.ends, 0)
  clock.advance(1_000)
  t.same([turned.ends, newcomer.ends], [1, 0])
  turned.lease.close()
  t.equal(first.granted.length, 2)
})
