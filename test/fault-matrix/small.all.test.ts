import t from 'tap'
import { KIB, setStage, strike, strikeBlind, strikeDown } from '../support/faults/fault-matrix.ts'
import { FAULT_ROWS } from '../support/faults/fault-rows.ts'

t.test('a file of one request survives every fault of it', async t => {
  const stage = await setStage(t)
  for (const row of FAULT_ROWS) {
    await strike(t, stage, row, { step: 'put', times: 'always' }, 100 * KIB)
    if (row.once !== undefined) await strike(t, stage, row, { step: 'put', times: 'once' }, 100 * KIB)
  }
  await strikeDown(t, stage, { step: 'put' }, 100 * KIB)
  await strikeBlind(t, stage, 'put', 100 * KIB)
})
