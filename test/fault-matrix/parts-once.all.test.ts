import t from 'tap'
import { FOUR_PARTS, setStage, strike, TWO_PARTS } from '../support/faults/fault-matrix.ts'
import { STEP_ROWS } from '../support/faults/fault-rows.ts'
import { every } from '../support/run/loops.ts'

for (const [size, which] of [[TWO_PARTS, 0], [FOUR_PARTS, 1]] as const) {
  t.test(`a file of ${size} bytes reaches B2 although each of its parts meets a fault`, async t => {
    const stage = await setStage(t)
    for (const row of every(2, STEP_ROWS.filter(({ once }) => once !== undefined), which)) {
      await strike(t, stage, row, { step: 'part', times: 'once' }, size)
    }
  })
}
