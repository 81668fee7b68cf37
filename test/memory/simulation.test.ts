import t from 'tap'
import { MemoryAccount } from '../../services/memory-account.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { seeded } from '../support/leaving-client.ts'
import { SimulatedUpload } from '../support/simulated-upload.ts'

const MIB = 1_048_576
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
