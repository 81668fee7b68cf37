import t from 'tap'
import { ROWS, setMatrix, strike } from '../support/split/matrix.ts'
import type { At } from '../support/split/matrix.ts'
import { PART, SIZE } from '../support/split/split.ts'
import type { Way } from '../support/split/split.ts'

/** The whole is in the second tier. */
const SOME: readonly (readonly [name: string, at: At, way: Way])[] = [
  ['503', 2, 'form'],
  ['500 without a body', 'complete', 'raw'],
  ['an answer that is lost', 3, 'chunked'],
  ['an answer that is lost', 'complete', 'form'],
  ['a cap that is used up', 4, 'raw'],
  ['a reset during the body', 3, 'form'],
  ['an error in a 200 for what was done', 4, 'chunked'],
  ['a wrong secret', 'complete', 'chunked'],
  ['no answer to what was done', 2, 'raw'],
]

t.test('faults beyond the window', async t => {
  const matrix = await setMatrix(t, { size: SIZE, partBytes: PART })
  for (const [name, at, way] of SOME) {
    const row = ROWS.find(one => one.name === name)
    if (row !== undefined) await strike(t, matrix, row, at, way)
  }
})
