import t from 'tap'
import { TWO_PARTS, setStage, strikeStep } from '../../support/faults/fault-matrix.ts'

t.test('a file of two parts survives every fault of the request that begins it', async t => {
  const stage = await setStage(t)
  await strikeStep(t, stage, 'create', TWO_PARTS)
})
