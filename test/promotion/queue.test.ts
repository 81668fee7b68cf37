import t from 'tap'
import { PromotionQueue } from '../../services/promotion-queue.ts'

const filesOf = (...keys: string[]) => keys.map(key => ({ key, kind: 'file' as const, setAside: undefined }))
const keysOf = (files: ReadonlyArray<{ key: string }>): string[] => files.map(({ key }) => key)

t.test('what B2 failed comes last, until it is forgiven or gone', async t => {
  const queue = new PromotionQueue(5)
  t.same(keysOf(queue.begin(filesOf('a', 'b', 'c', 'd'))), ['a', 'b', 'c', 'd'])
  queue.failedByB2('a')
  queue.failedByB2('c')
  t.same(keysOf(queue.begin(filesOf('a', 'b', 'c', 'd'))), ['b', 'd', 'a', 'c'])
  t.notOk(queue.isLeftOut('a'), 'but it is taken')
  queue.forgive('a')
  t.same(keysOf(queue.begin(filesOf('a', 'b', 'c', 'd'))), ['a', 'b', 'd', 'c'])
  queue.begin(filesOf('a'))
  t.same(keysOf(queue.begin(filesOf('c', 'a'))), ['c', 'a'], 'another file of that name has its own turn')
})

t.test('what fails for reasons of its own is left out of one pass, then of two, of four and eight, and is given up at the fifth time', async t => {
  const queue = new PromotionQueue(5)
  const failures: number[] = []
  let isGivenUp = false
  for (let pass = 1; !isGivenUp; pass++) {
    queue.begin(filesOf('a', 'b'))
    t.notOk(queue.isLeftOut('b'))
    if (queue.isLeftOut('a')) continue
    failures.push(pass)
    isGivenUp = queue.failed('a')
  }
  t.same(failures, [1, 3, 6, 11, 20])
})

t.test('nothing is held against a file that was forgiven, or that was away', async t => {
  for (const forget of [(queue: PromotionQueue) => { queue.forgive('a') }, (queue: PromotionQueue) => { queue.begin(filesOf('b')) }]) {
    const queue = new PromotionQueue(2)
    queue.begin(filesOf('a', 'b'))
    t.notOk(queue.failed('a'))
    forget(queue)
    queue.begin(filesOf('a', 'b'))
    t.notOk(queue.isLeftOut('a'))
    t.notOk(queue.failed('a'), 'it is the first time again')
  }
})
