import t from 'tap'
import type { PendingFile } from '../../../services/local/store.ts'
import { PromotionQueue } from '../../../services/promotion/queue.ts'
import { all } from '../../fixtures/local-files.ts'

async function * filesOf (...keys: string[]): AsyncGenerator<PendingFile> {
  for (const key of keys) yield { key, kind: 'file', setAside: undefined }
}

const keysOf = async (files: AsyncIterable<PendingFile>): Promise<string[]> => (await all(files)).map(({ key }) => key)

t.test('what B2 failed comes last, until it is forgiven or gone', async t => {
  const queue = new PromotionQueue(5)
  t.same(await keysOf(queue.begin(filesOf('a', 'b', 'c', 'd'))), ['a', 'b', 'c', 'd'])
  queue.moveToEnd('a')
  queue.moveToEnd('c')
  t.same(await keysOf(queue.begin(filesOf('a', 'b', 'c', 'd'))), ['b', 'd', 'a', 'c'])
  t.notOk(queue.isLeftOut('a'), 'but it is taken')
  queue.forgive('a')
  t.same(await keysOf(queue.begin(filesOf('a', 'b', 'c', 'd'))), ['a', 'b', 'd', 'c'])
  await keysOf(queue.begin(filesOf('a')))
  t.same(await keysOf(queue.begin(filesOf('c', 'a'))), ['c', 'a'], 'another file of that name has its own turn')
})

t.test('what fails for reasons of its own is left out of one pass, then of two, of four and eight, and is given up at the fifth time', async t => {
  const queue = new PromotionQueue(5)
  const failures: number[] = []
  let isGivenUp = false
  for (let pass = 1; !isGivenUp; pass++) {
    await keysOf(queue.begin(filesOf('a', 'b')))
    t.notOk(queue.isLeftOut('b'))
    if (queue.isLeftOut('a')) continue
    failures.push(pass)
    isGivenUp = queue.countFailure('a')
  }
  t.same(failures, [1, 3, 6, 11, 20])
})

t.test('nothing is held against a file that was forgiven, or that was away', async t => {
  for (const forget of [(queue: PromotionQueue) => { queue.forgive('a') }, async (queue: PromotionQueue) => { await keysOf(queue.begin(filesOf('b'))) }]) {
    const queue = new PromotionQueue(2)
    await keysOf(queue.begin(filesOf('a', 'b')))
    t.notOk(queue.countFailure('a'))
    await forget(queue)
    await keysOf(queue.begin(filesOf('a', 'b')))
    t.notOk(queue.isLeftOut('a'))
    t.notOk(queue.countFailure('a'), 'it is the first time again')
  }
})
