import t from 'tap'
import { FOUR_PARTS, setStage, strikeBlind, strikeStep } from '../../support/faults/fault-matrix.ts'

t.test('a file of four parts survives every fault of the request that completes it', async t => {
  const stage = await setStage(t)
  await strikeStep(t, stage, 'complete', FOUR_PARTS)
  await strikeBlind(t, stage, 'complete', FOUR_PARTS)
})
