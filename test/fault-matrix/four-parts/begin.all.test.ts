import t from 'tap'
import { FOUR_PARTS, setStage, strikeStep } from '../../support/faults/fault-matrix.ts'
import { STEP_ROWS } from '../../support/faults/fault-rows.ts'
import { every } from '../../support/run/loops.ts'

t.test('a file of four parts survives every fault of the request that begins it', async t => {
  const stage = await setStage(t)
  await strikeStep(t, stage, 'create', FOUR_PARTS, every(2, STEP_ROWS, 0))
})
