import t from 'tap'
import { MIB, setStage, strike, strikeDown } from './support/fault-matrix.ts'
import { STEP_ROWS } from './support/fault-rows.ts'

const SIZE = 31 * MIB

t.test('a file of four parts survives every fault of part 2', async t => {
  const stage = await setStage(t)
  for (const row of STEP_ROWS) await strike(t, stage, row, { step: 'part', part: 2, times: 'always' }, SIZE)
  await strikeDown(t, stage, { step: 'part', part: 2 }, SIZE)
})
