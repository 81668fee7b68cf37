import t from 'tap'
import { ROWS, setMatrix, strike } from '../support/split/matrix.ts'
import { MIB } from '../support/split/split.ts'

t.test('120 MiB with the default window', async t => {
  const matrix = await setMatrix(t, { size: 120 * MIB, partBytes: 8 * MIB, env: { REPLAY_WINDOW_BYTES: String(32 * MIB) } })
  for (const [name, at, way] of [['503', 9, 'form'], ['503', 'complete', 'raw'], ['an answer that is lost', 15, 'chunked'], ['no answer', 5, 'raw']] as const) {
    await strike(t, matrix, ROWS.find(one => one.name === name)!, at, way)
  }
})
