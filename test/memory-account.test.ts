import t from 'tap'
import { MemoryAccount } from '../services/memory-account.ts'
import type { Borrower, MemoryLease } from '../services/memory-account.ts'
import { fakeClock } from './support/fake-clock.ts'
import { seeded } from './support/leaving-client.ts'
import { SimulatedUpload } from './support/simulated-upload.ts'

const KIB = 1_024
const MIB = 1_048_576
const FAST = 1_000_000
const SLOW = 10_000

interface Lease {
  readonly lease: MemoryLease
  /** What it was granted, in the order it was. */
  readonly granted: number[]
  ended: boolean
  rate: number | undefined
  take (bytes: number): boolean
}

function open (account: MemoryAccount, { need = Infinity, rate }: { need?: number, rate?: number | undefined } = {}): Lease {
  const borrower: Borrower = {
    need,
    rate: () => opened.rate,
    end: () => { opened.ended = true },
  }
  const lease = account.open(borrower)
  const opened: Lease = {
    lease,
    granted: [],
    ended: false,
    rate,
    take: bytes => {
      const atOnce = lease.take(bytes, () => { opened.granted.push(bytes) })
      if (atOnce) opened.granted.push(bytes)
      return atOnce
    },
  }
  return opened
}

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

const SEEDS = 20
const STEP_MS = 250

function simulate (t: { fail (message: string): unknown }, clock: ReturnType<typeof fakeClock>, seed: number): Record<string, number> {
  const next = seeded(seed)
  const pick = <T> (values: readonly T[]): T => values[Math.floor(next() * values.length)]!
  const partBytes = pick([5 * MIB, 5 * MIB + 1, 8 * MIB, 16 * MIB])
  const windowBytes = pick([MIB, 16 * MIB, 30 * MIB, 32 * MIB])
  const budgetBytes = Math.max(32 * MIB, windowBytes + 2 * partBytes) + pick([0, 0, 10 * MIB, 200 * MIB])
  const largestNeedBytes = Math.min(Math.max(windowBytes + partBytes, 5 * partBytes), budgetBytes - partBytes)
  const account = new MemoryAccount({ budgetBytes, largestNeedBytes })
  const slowShare = pick([0, 0.2, 0.8])
  const arrivals = Array.from({ length: 50 }, () => {
    const isSlow = next() < slowShare
    const bytes = Math.ceil(pick([0.05, 1, 5, 20, isSlow ? 10 : 100]) * MIB * (0.5 + next()))
    const base = isSlow ? 8_000 + next() * 55_000 : 100_000 * 10 ** (next() * 2.5)
    // Some change their mind in the middle.
    const turn = next() < 0.2 ? { at: next() * 20_000, rate: 10_000 * 10 ** (next() * 3) } : { at: Infinity, rate: 0 }
    return {
      at: next() * 30_000,
      bytes,
      announced: next() < 0.7,
      partBytes,
      windowBytes,
      clientRate: (readingMs: number) => readingMs < turn.at ? base : turn.rate,
      storeRate: 200_000 * 10 ** (next() * 2),
      ...(next() < 0.2 ? { leavesAt: next() * bytes } : {}),
    }
  }).sort((a, b) => a.at - b.at)

  const uploads: SimulatedUpload[] = []
  const from = clock.now
  for (let elapsed = 0; arrivals.length > 0 || uploads.some(({ outcome }) => outcome === 'under way'); elapsed = clock.now - from) {
    while (arrivals.length > 0 && arrivals[0]!.at <= elapsed) uploads.push(new SimulatedUpload(account, arrivals.shift()!))
    for (const upload of uploads) if (upload.outcome === 'under way') upload.step(STEP_MS)
    clock.advance(STEP_MS)
    const held = uploads.reduce((sum, upload) => sum + upload.held, 0)
    if (held !== account.heldBytes) t.fail(`seed ${seed}: ${held} bytes are held, but the account knows of ${account.heldBytes}`)
    if (held > budgetBytes || account.committedBytes > budgetBytes) t.fail(`seed ${seed}: ${held} bytes are held of ${budgetBytes}`)
    if (elapsed > 24 * 3_600_000) {
      t.fail(`seed ${seed}: ${account.waiting} wait for ever`)
      break
    }
  }
  for (const { outcome, everSlow } of uploads) if (outcome === 'ended' && !everSlow) t.fail(`seed ${seed}: a fast upload was ended`)
  if (account.heldBytes !== 0 || account.committedBytes !== 0 || account.waiting !== 0) t.fail(`seed ${seed}: not all was given back`)
  if (clock.timers !== 0) t.fail(`seed ${seed}: a timer goes on`)
  const count = (wanted: string): number => uploads.filter(({ outcome }) => outcome === wanted).length
  return { stored: count('stored'), ended: count('ended'), left: count('left') }
}

t.test('whatever comes, the budget holds, nobody waits for ever, and only slow uploads are ended', async t => {
  const clock = fakeClock(t)
  const total = { stored: 0, ended: 0, left: 0 }
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { stored = 0, ended = 0, left = 0 } = simulate(t, clock, seed)
    total.stored += stored
    total.ended += ended
    total.left += left
  }
  t.comment(JSON.stringify(total))
  t.ok(total.stored > 10 * SEEDS && total.ended > SEEDS && total.left > SEEDS, 'the simulation had all kinds')
})
