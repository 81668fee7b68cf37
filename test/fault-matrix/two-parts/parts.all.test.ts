import t from 'tap'
import { TWO_PARTS, setStage, strike, strikeDown } from '../../support/faults/fault-matrix.ts'
import { STEP_ROWS } from '../../support/faults/fault-rows.ts'

t.test('a file of two parts survives every fault of either part', async t => {
  const stage = await setStage(t)
  for (const part of [1, 2]) {
    for (const row of STEP_ROWS) await strike(t, stage, row, { step: 'part', part, times: 'always' }, TWO_PARTS)
    await strikeDown(t, stage, { step: 'part', part }, TWO_PARTS)
  }
})
