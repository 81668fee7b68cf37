import t from 'tap'
import { rounds } from '../support/run/loops.ts'
import { putAll, sharedFiles } from '../support/service/memory-load.ts'
import { startB2 } from '../support/service/service.ts'

// Gigabytes through two processes.

const MIB = 1_048_576
const MB = 1_000_000
const BUDGET = 256 * MIB

for (const [count, size] of [[rounds(0, 200), 5 * MB], [rounds(24, 64), 30 * MB]] as const) {
  if (count === 0) continue
  t.test(`${count} uploads of ${size / MB} MB at once against a slow B2 arrive intact, within the budget`, async t => {
    const b2 = await startB2(t)
    b2.throttle({ bytesPerSecond: 5 * MB })
    await putAll(t, b2, {}, sharedFiles(count, size), BUDGET)
  })
}
