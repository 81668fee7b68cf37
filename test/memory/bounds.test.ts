import t from 'tap'
import { putAll, sharedFiles } from '../support/service/memory-load.ts'
import { startB2 } from '../support/service/service.ts'

const MIB = 1_048_576
const BUDGET = 32 * MIB

t.test('more uploads at once than the budget holds take turns, and all arrive intact', async t => {
  const b2 = await startB2(t)
  b2.throttle({ bytesPerSecond: 30 * MIB })
  await putAll(t, b2, { MEMORY_BUDGET_BYTES: String(BUDGET), REPLAY_WINDOW_BYTES: String(16 * MIB) }, sharedFiles(24, 4_000_000), BUDGET)
})
