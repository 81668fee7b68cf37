import t from 'tap'
import { FOUR_PARTS, setStage, strike, strikeDown } from '../../support/faults/fault-matrix.ts'
import { STEP_ROWS } from '../../support/faults/fault-rows.ts'
import { every } from '../../support/run/loops.ts'

t.test('a file of four parts survives every fault of part 1', async t => {
  const stage = await setStage(t)
  for (const row of every(2, STEP_ROWS, 0)) await strike(t, stage, row, { step: 'part', part: 1, times: 'always' }, FOUR_PARTS)
  await strikeDown(t, stage, { step: 'part', part: 1 }, FOUR_PARTS)
})
