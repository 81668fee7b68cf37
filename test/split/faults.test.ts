import t from 'tap'
import { ROWS, setMatrix, strike } from '../support/split/matrix.ts'
import type { At } from '../support/split/matrix.ts'
import { PART, SIZE } from '../support/split/split.ts'
import type { Way } from '../support/split/split.ts'

/** The whole is in the second tier. */
const SOME: readonly (readonly [name: string, at: At, way: Way])[] = [
  ['503', 2, 'form'],
  ['an answer that is lost', 'complete', 'form'],
  ['a reset during the body', 3, 'raw'],
  ['an error in a 200 for what was done', 4, 'chunked'],
]

t.test('faults beyond the window', async t => {
  const matrix = await setMatrix(t, { size: SIZE, partBytes: PART })
  for (const [name, at, way] of SOME) {
    await strike(t, matrix, ROWS.find(one => one.name === name)!, at, way)
  }
})
