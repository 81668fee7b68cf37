import t from 'tap'
import { rounds } from '../support/run/loops.ts'
import { ROWS, setMatrix, strike, WAYS } from '../support/split/matrix.ts'
import { PART, SIZE } from '../support/split/split.ts'

const WAYS_EACH = rounds(1, WAYS.length)
/** Parts 2 and 3 are both neither the first nor the last: of each row one of the two. */
const MIDDLES_EACH = rounds(1, 2)

t.test('every fault at each kind of part and at the completion, however the file is sent', async t => {
  const matrix = await setMatrix(t, { size: SIZE, partBytes: PART })
  let turn = 0
  for (const row of ROWS) {
    // Each row and each step meets each way, though not each other in all of them.
    turn++
    const middle = ROWS.indexOf(row) % 2 === 0 ? [2, 3] : [3, 2]
    for (const at of [...middle.slice(0, MIDDLES_EACH), 4, 'complete'] as const) {
      for (let way = 0; way < WAYS_EACH; way++) await strike(t, matrix, row, at, WAYS[(turn + way) % WAYS.length]!)
      turn++
    }
  }
})
