import t from 'tap'
import { FOUR_PARTS, setStage, strikeBlind, strikeStep } from '../../support/faults/fault-matrix.ts'
import { STEP_ROWS } from '../../support/faults/fault-rows.ts'
import { every } from '../../support/run/loops.ts'

t.test('a file of four parts survives every fault of the request that completes it', async t => {
  const stage = await setStage(t)
  await strikeStep(t, stage, 'complete', FOUR_PARTS, every(2, STEP_ROWS, 1))
  await strikeBlind(t, stage, 'complete', FOUR_PARTS)
})
