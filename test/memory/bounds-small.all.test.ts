import t from 'tap'
import { rounds } from '../support/run/loops.ts'
import { putAll, sharedFiles } from '../support/service/memory-load.ts'
import { startB2 } from '../support/service/service.ts'

// Gigabytes through two processes.

const MIB = 1_048_576
const MB = 1_000_000
const BUDGET = 64 * MIB

for (const [count, size] of [[200, 5 * MB], [rounds(16, 64), 30 * MB]] as const) {
  t.test(`${count} uploads of ${size / MB} MB take turns in a small budget, and all arrive intact`, async t => {
    const b2 = await startB2(t)
    b2.throttle({ bytesPerSecond: 15 * MB })
    await putAll(t, b2, { MEMORY_BUDGET_BYTES: String(BUDGET), REPLAY_WINDOW_BYTES: String(16 * MIB) }, sharedFiles(count, size), BUDGET)
  })
}
