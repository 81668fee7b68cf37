import t from 'tap'
import { TWO_PARTS, setStage, strikeBlind, strikeStep } from '../../support/faults/fault-matrix.ts'

t.test('a file of two parts survives every fault of the request that completes it', async t => {
  const stage = await setStage(t)
  await strikeStep(t, stage, 'complete', TWO_PARTS)
  await strikeBlind(t, stage, 'complete', TWO_PARTS)
})
