import t from 'tap'
import { FOUR_PARTS, setStage, strike, strikeDown } from '../../support/faults/fault-matrix.ts'
import { STEP_ROWS } from '../../support/faults/fault-rows.ts'

t.test('a file of four parts survives every fault of part 2', async t => {
  const stage = await setStage(t)
  for (const row of STEP_ROWS) await strike(t, stage, row, { step: 'part', part: 2, times: 'always' }, FOUR_PARTS)
  await strikeDown(t, stage, { step: 'part', part: 2 }, FOUR_PARTS)
})
