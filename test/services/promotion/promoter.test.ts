import t from 'tap'
import { LocalStoreError } from '../../../services/local/errors.ts'
import { newKey } from '../../fixtures/local-files.ts'
import { gate, REPORT, setPromoter, settled } from '../../support/promotion/promoter-stage.ts'

t.test('without B2 there is nothing to promote', async t => {
  const { add, done, promoter } = setPromoter({ b2: undefined })
  add()
  promoter.start()
  promoter.wake()
  t.same(await promoter.promote(), REPORT)
  await settled()
  t.same([done, promoter.waiting.files], [[], 0])
  await promoter.close()
})

t.test('the start finds out how many files are pending', async t => {
  const { add, done, promoter } = setPromoter()
  add()
  add('its bytes changed')
  promoter.start()
  await settled()
  t.same([done, promoter.waiting.files], [['search'], 2])
  await promoter.close()
})

t.test('passes don\'t overlap, and one that fails does not keep the next from beginning', async t => {
  const { add, done, stage, promoter } = setPromoter()
  const key = add()
  const { open, opened } = gate()
  stage.claiming = opened
  const both = [promoter.promote(), promoter.promote()]
  await settled()
  t.same(done, ['search', `claim ${key}`])
  open()
  t.match(await Promise.all(both), [{ promoted: 1 }, { promoted: 0 }])
  t.same(done, ['search', `claim ${key}`, `remove ${key}`, 'search'])

  stage.searching = Promise.reject(new LocalStoreError('The directory is gone', { error_code: 'io_error' }))
  await t.rejects(promoter.promote(), { name: 'LocalStoreError' })
  stage.searching = Promise.resolve()
  t.same(await promoter.promote(), REPORT)
})

t.test('a pass is told how to go', async t => {
  const { add, done, promoter } = setPromoter()
  add()
  t.match(await promoter.promote({ dryRun: true }), { promoted: 0, bytes: 4, pending: 1 })
  t.same(done, ['search'])
})

t.test('who wakes it gets one pass, after what is under way, however often', async t => {
  const { done, stage, promoter } = setPromoter()
  const { open, opened } = gate()
  stage.searching = opened
  const promoting = promoter.promote()
  for (let count = 0; count < 3; count++) {
    promoter.wake()
    await settled()
  }
  t.same(done, ['search'])
  open()
  await promoting
  await settled()
  t.same(done, ['search', 'search'])
  promoter.wake()
  await settled()
  t.same(done, ['search', 'search', 'search'], 'and the next time another one')
  await promoter.close()
  promoter.wake()
  await settled()
  t.equal(done.length, 3, 'but none once it is closed')
})

t.test('it is not woken where promotion is off, nor stopped by a pass before it that failed', async t => {
  const off = setPromoter({ intervalMs: 0 })
  off.promoter.wake()
  await settled()
  t.same(off.done, [])

  const { done, log, stage, promoter } = setPromoter()
  stage.searching = Promise.reject(new Error('no'))
  const promoting = promoter.promote()
  promoter.wake()
  await t.rejects(promoting)
  await settled()
  t.same(done, ['search', 'search'])
  t.match(log.lines, [{ level: 'error', facts: { err: { message: 'no' } } }], 'what fails by itself is logged')
  await promoter.close()
})

t.test('a promotion under way is ended for who removes the file', async t => {
  const { add, done, files, stage, promoter } = setPromoter()
  const [first, second] = [add(), add()]
  const { open, opened } = gate()
  stage.claiming = opened
  const promoting = promoter.promote()
  await settled()
  await promoter.stopWriting(newKey())
  files.delete(first)
  await promoter.stopWriting(first)
  open()
  t.match(await promoting, { promoted: 1, pending: 0 })
  t.same(done, ['search', `claim ${first}`, `claim ${second}`, `remove ${second}`])
})
