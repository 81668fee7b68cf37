import t from 'tap'
import { MemoryAccount } from '../../services/memory/account.ts'
import { fakeClock } from '../support/run/fake-clock.ts'
import { rounds } from '../support/run/loops.ts'
import { MemorySimulation } from '../support/intake/memory-simulation.ts'
import { SimulatedUpload } from '../support/intake/simulated-upload.ts'

const KIB = 1_024
const MIB = 1_048_576
const GIB = 1_073_741_824
const SEEDS = rounds(20, 2_000)

t.test('whatever comes, the budget holds, something moves every two seconds, small ones don\'t wait, and only slow ones are ended', async t => {
  const clock = fakeClock(t)
  const total = { stored: 0, ended: 0, left: 0, 'under way': 0 }
  let [smallWait, largeWait] = [0, 0]
  for (let seed = 1; seed <= SEEDS; seed++) {
    const simulation = new MemorySimulation(t, clock, seed)
    simulation.run()
    for (const { outcome, bytes, isAnnounced, longestWaitMs } of simulation.uploads) {
      total[outcome]++
      if (bytes > MIB) largeWait = Math.max(largeWait, longestWaitMs)
      else if (isAnnounced) smallWait = Math.max(smallWait, longestWaitMs)
    }
  }
  t.comment(`${JSON.stringify(total)}; small ones waited ${smallWait} ms at most, larger ones ${largeWait} ms`)
  t.ok(smallWait < 10_000, 'no small one waited for ten seconds')
  t.ok(total.stored > 10 * SEEDS && total.ended > SEEDS / 4 && total.left > SEEDS, 'the simulation had all kinds')
})

/** Clients that are just not slow, and how many of them. */
const MAJORITIES = {
  'five of 1 GiB and two of 8 MiB at 72 KB/s': [...Array<[number, number]>(5).fill([GIB, 72_000]), [8 * MIB, 72_000], [8 * MIB, 72_000]],
  'six of 1 GiB at 1 Mbit/s': Array<[number, number]>(6).fill([GIB, 125_000]),
  'twenty of 1 GiB at 66 to 200 KB/s': Array.from({ length: 20 }, (_, index) => [GIB, 66_000 + index * 7_000] as [number, number]),
} as const

for (const [name, majority] of Object.entries(MAJORITIES)) {
  for (const [areAnnounced, givesBackEarly] of [[true, true], [true, false], [false, true], [false, false]] as const) {
    t.test(`with ${name}, ${areAnnounced ? 'announced' : 'chunked'}${givesBackEarly ? '' : ', each with its window'}, uploads of fast clients are done within seconds for a quarter of an hour`, async t => {
      const clock = fakeClock(t)
      const account = new MemoryAccount({ budgetBytes: 256 * MIB, windowBytes: 32 * MIB, partBytes: 8 * MIB, givesBackEarly })
      const begin = (bytes: number, rate: number): SimulatedUpload => new SimulatedUpload(account, {
        bytes, announced: areAnnounced, givesBackEarly, partBytes: 8 * MIB, windowBytes: 32 * MIB, clientRate: () => rate, storeRate: () => 20_000_000,
      })
      const slow = majority.map(([bytes, rate]) => begin(bytes, rate))
      const fast: { upload: SimulatedUpload, since: number }[] = []
      const longest = new Map<number, number>()
      for (let step = 0; step < 900 * 4; step++) {
        if (step % 20 === 0) for (const bytes of [KIB, 100 * KIB, MIB, 3 * MIB, 10 * MIB]) fast.push({ upload: begin(bytes, 50_000_000), since: clock.now })
        for (const upload of [...slow, ...fast.map(each => each.upload)]) if (upload.outcome === 'under way') upload.step(250)
        clock.advance(250)
        for (const [index, { upload, since }] of [...fast.entries()].reverse()) {
          longest.set(upload.bytes, Math.max(longest.get(upload.bytes) ?? 0, clock.now - since))
          if (upload.outcome !== 'under way') fast.splice(index, 1)
        }
      }
      t.comment(JSON.stringify(Object.fromEntries(longest)))
      for (const bytes of [KIB, 100 * KIB, MIB]) t.ok(longest.get(bytes)! < 10_000, `${bytes} bytes`)
      t.ok(longest.get(10 * MIB)! < 40_000, '10 MiB')
      t.notOk(slow.some(({ outcome }) => outcome === 'ended'), 'nobody who is not slow is ended')
      for (const { lease } of slow) lease.close()
      for (const { upload: { lease } } of fast) lease.close()
      t.same([account.heldBytes, account.committedBytes, account.waiting, clock.timers], [0, 0, 0, 0])
    })
  }
}
