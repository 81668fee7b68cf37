import t from 'tap'
import { MIB, setStage, strike, strikeDown } from './support/fault-matrix.ts'
import { STEP_ROWS } from './support/fault-rows.ts'

const SIZE = 31 * MIB

t.test('a file of 31 MiB survives every fault of the request that begins it', async t => {
  const stage = await setStage(t)
  for (const row of STEP_ROWS) {
    await strike(t, stage, row, { step: 'create', times: 'always' }, SIZE)
    if (row.once !== undefined) await strike(t, stage, row, { step: 'create', times: 'once' }, SIZE)
  }
  await strikeDown(t, stage, { step: 'create' }, SIZE)
})
