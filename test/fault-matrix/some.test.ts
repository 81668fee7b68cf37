import t from 'tap'
import { setStage, strike, strikeBlind, strikeDown, TWO_PARTS } from '../support/faults/fault-matrix.ts'
import { STEP_ROWS } from '../support/faults/fault-rows.ts'

// One row of each kind, at one of the steps; the others are in the second tier.

const KINDS = [
  '503', 'a key without the capability', 'a reset during the body', 'an answer that is lost', 'an error in a 200', 'an answer that is cut', 'no answer',
]
const rows = STEP_ROWS.filter(({ name }) => KINDS.includes(name))

t.test('a file of two parts survives some faults of each step', async t => {
  t.equal(rows.length, KINDS.length)
  const stage = await setStage(t)
  const steps = [{ step: 'create' }, { step: 'part', part: 2 }, { step: 'complete' }] as const
  for (const [index, row] of rows.entries()) {
    await strike(t, stage, row, { ...steps[index % steps.length]!, times: 'always' }, TWO_PARTS)
    if (row.once !== undefined) await strike(t, stage, row, { step: 'part', times: 'once' }, TWO_PARTS)
  }
  await strikeDown(t, stage, { step: 'part', part: 2 }, TWO_PARTS)
  await strikeBlind(t, stage, 'complete', TWO_PARTS)
})
