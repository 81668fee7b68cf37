import t from 'tap'
import { every, rounds } from '../support/run/loops.ts'
import { ROWS, setMatrix, strike, WAYS } from '../support/split/matrix.ts'
import { PART, SIZE } from '../support/split/split.ts'

const WAYS_EACH = rounds(1, WAYS.length)
/** In the middle, and the last one. */
const PARTS = [2, 4] as const

t.test('every fault at each kind of part and at the completion, however the file is sent', async t => {
  const matrix = await setMatrix(t, { size: SIZE, partBytes: PART })
  // Each step meets each way.
  let turn = 0
  for (const row of ROWS) {
    for (const at of [...every(2, PARTS, ROWS.indexOf(row)), 'complete'] as const) {
      for (let way = 0; way < WAYS_EACH; way++) await strike(t, matrix, row, at, WAYS[(turn + way) % WAYS.length]!)
      turn++
    }
  }
})
