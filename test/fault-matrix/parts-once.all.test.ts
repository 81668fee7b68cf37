import t from 'tap'
import { FOUR_PARTS, setStage, strike, TWO_PARTS } from '../support/faults/fault-matrix.ts'
import { STEP_ROWS } from '../support/faults/fault-rows.ts'

for (const size of [TWO_PARTS, FOUR_PARTS]) {
  t.test(`a file of ${size} bytes reaches B2 although each of its parts meets a fault`, async t => {
    const stage = await setStage(t)
    for (const row of STEP_ROWS.filter(({ once }) => once !== undefined)) {
      await strike(t, stage, row, { step: 'part', times: 'once' }, size)
    }
  })
}
