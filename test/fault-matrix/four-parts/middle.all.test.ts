import t from 'tap'
import { FOUR_PARTS, setStage, strike, strikeDown } from '../../support/faults/fault-matrix.ts'
import { STEP_ROWS } from '../../support/faults/fault-rows.ts'
import { rounds } from '../../support/run/loops.ts'

// Both are neither the first part nor the last: of each row one of the two.
const PARTS = [2, 3]
const EACH = rounds(1, PARTS.length)

t.test('a file of four parts survives every fault of a part in its middle', async t => {
  const stage = await setStage(t)
  for (const [index, row] of STEP_ROWS.entries()) {
    for (let turn = 0; turn < EACH; turn++) await strike(t, stage, row, { step: 'part', part: PARTS[(index + turn) % PARTS.length]!, times: 'always' }, FOUR_PARTS)
  }
  for (const part of PARTS) await strikeDown(t, stage, { step: 'part', part }, FOUR_PARTS)
})
