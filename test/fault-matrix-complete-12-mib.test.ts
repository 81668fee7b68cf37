import t from 'tap'
import { MIB, setStage, strike, strikeBlind, strikeDown } from './support/fault-matrix.ts'
import { STEP_ROWS } from './support/fault-rows.ts'

const SIZE = 12 * MIB

t.test('a file of 12 MiB survives every fault of the request that completes it', async t => {
  const stage = await setStage(t)
  for (const row of STEP_ROWS) {
    await strike(t, stage, row, { step: 'complete', times: 'always' }, SIZE)
    if (row.once !== undefined) await strike(t, stage, row, { step: 'complete', times: 'once' }, SIZE)
  }
  await strikeDown(t, stage, { step: 'complete' }, SIZE)
  await strikeBlind(t, stage, 'complete', SIZE)
})
