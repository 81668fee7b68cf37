import t from 'tap'
import { FOUR_PARTS, setStage, strikeStep } from '../../support/faults/fault-matrix.ts'

t.test('a file of four parts survives every fault of the request that begins it', async t => {
  const stage = await setStage(t)
  await strikeStep(t, stage, 'create', FOUR_PARTS)
})
