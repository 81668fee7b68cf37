import t from 'tap'
import { copyOut, dropBefore, partsLength } from '../../../services/audio/part-bytes.ts'

const parts = [[0, 1, 2], [], [3, 4], [5]].map(bytes => Uint8Array.from(bytes))

t.test('the bytes of parts are counted over all of them', async t => {
  t.equal(partsLength(parts), 6)
  t.equal(partsLength([]), 0)
})

t.test('any span of them is what it is of the whole', async t => {
  const whole = [0, 1, 2, 3, 4, 5]
  for (let start = 0; start <= 7; start++) {
    for (let end = start; end <= 8; end++) {
      t.same([...copyOut(parts, start, end)], whole.slice(start, end), `${start} to ${end}`)
      t.same(dropBefore(parts, start, end).flatMap(view => [...view]), whole.slice(start, end))
    }
    t.same(dropBefore(parts, start).flatMap(view => [...view]), whole.slice(start), `from ${start}`)
  }
})

t.test('views are of the parts themselves, and none is empty', async t => {
  const views = dropBefore(parts, 1, 4)
  t.same(views.map(view => [...view]), [[1, 2], [3]])
  t.equal(views[0]!.buffer, parts[0]!.buffer)
  t.not(copyOut(parts, 1, 4).buffer, parts[0]!.buffer)
})
