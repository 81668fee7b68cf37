import t from 'tap'
import { FOUR_PARTS, setStage, strike, strikeBlind, strikeDown } from './support/fault-matrix.ts'
import { STEP_ROWS } from './support/fault-rows.ts'

t.test('a file of four parts survives every fault of the request that completes it', async t => {
  const stage = await setStage(t)
  for (const row of STEP_ROWS) {
    await strike(t, stage, row, { step: 'complete', times: 'always' }, FOUR_PARTS)
    if (row.once !== undefined) await strike(t, stage, row, { step: 'complete', times: 'once' }, FOUR_PARTS)
  }
  await strikeDown(t, stage, { step: 'complete' }, FOUR_PARTS)
  await strikeBlind(t, stage, 'complete', FOUR_PARTS)
})
