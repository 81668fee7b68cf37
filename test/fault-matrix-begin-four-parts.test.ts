import t from 'tap'
import { FOUR_PARTS, setStage, strike, strikeDown } from './support/fault-matrix.ts'
import { STEP_ROWS } from './support/fault-rows.ts'

t.test('a file of four parts survives every fault of the request that begins it', async t => {
  const stage = await setStage(t)
  for (const row of STEP_ROWS) {
    await strike(t, stage, row, { step: 'create', times: 'always' }, FOUR_PARTS)
    if (row.once !== undefined) await strike(t, stage, row, { step: 'create', times: 'once' }, FOUR_PARTS)
  }
  await strikeDown(t, stage, { step: 'create' }, FOUR_PARTS)
})
