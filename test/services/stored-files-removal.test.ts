import t from 'tap'
import { b2Down, diskDown, fail, HERE, isError, isOut, KEY, NAME, setStores } from '../support/service/two-stores.ts'

t.test('a file is removed here first, then its promotion, then from B2', async t => {
  const { files, asked } = setStores({ local: { find: async () => HERE } })
  await files.remove(NAME, 'me')
  t.same(asked, [
    ['local.find', KEY], ['local.removeFile', KEY], ['b2.mayReturn', KEY], ['local.remove', KEY], ['promoter.stopWriting', KEY],
    ['local.isClaimedElsewhere', KEY], ['b2.remove', KEY],
  ])
  const alone = setStores({ b2: false })
  await alone.files.remove(NAME)
  t.same(alone.calls(), ['local.find', 'local.removeFile', 'local.remove', 'promoter.stopWriting'])
})

t.test('where another process may bring it to B2 just now, that is written down before', async t => {
  const { files, asked } = setStores({ local: { isClaimedElsewhere: async () => true } })
  await files.remove(NAME, 'me')
  t.same(asked.slice(-2), [['b2.forgetDeleted', KEY, false, 'me'], ['b2.remove', KEY]])
  const full = setStores({ local: { isClaimedElsewhere: async () => true }, b2: { forgetDeleted: async () => false } })
  await t.rejects(full.files.remove(NAME), isError('storage_unavailable'), 'else it may come back after a restart')
})

t.test('where another process may do so without a claim, that is written down before the receipt goes, or after it if there was no room before', async t => {
  for (const unclaimed of [{ local: { removeFile: async () => true } }, { b2: { mayReturn: () => true } }]) {
    const { files, asked } = setStores(unclaimed)
    await files.remove(NAME, 'me')
    t.same(asked.slice(-4), [['b2.forgetDeleted', KEY, true, 'me'], ['local.remove', KEY], ['promoter.stopWriting', KEY], ['b2.remove', KEY]])
  }
  let tries = 0
  const full = setStores({ local: { removeFile: async () => true }, b2: { forgetDeleted: async () => ++tries > 1 } })
  await full.files.remove(NAME)
  t.same(full.calls().slice(-5), ['b2.forgetDeleted', 'local.remove', 'promoter.stopWriting', 'b2.forgetDeleted', 'b2.remove'])
  const fuller = setStores({ local: { removeFile: async () => true }, b2: { forgetDeleted: async () => false } })
  await t.rejects(fuller.files.remove(NAME), isError('storage_unavailable'))
  t.notOk(fuller.calls().includes('b2.remove'))
})

t.test('where B2 can\'t remove it, a file that is known to be one is written down; of another that can\'t be said', async t => {
  const remove = async () => await fail(b2Down)
  for (const known of [{ local: { find: async () => HERE } }, { local: { find: async () => await fail(diskDown) } }, { b2: { isRemoving: () => true } }]) {
    const { files, asked } = setStores({ ...known, b2: { ...known.b2, remove } })
    await files.remove(NAME, 'me')
    t.same(asked.at(-1), ['b2.forgetDeleted', KEY, false, 'me'])
    await t.rejects(setStores({ ...known, b2: { ...known.b2, remove, forgetDeleted: async () => false } }).files.remove(NAME), isOut(b2Down))
  }
  const unknown = setStores({ b2: { remove } })
  await t.rejects(unknown.files.remove(NAME), isOut(b2Down))
  t.notOk(unknown.calls().includes('b2.forgetDeleted'))
})

t.test('where it can\'t be removed here, nothing is removed from B2, as it would be promoted again', async t => {
  const { files, calls } = setStores({ local: { remove: async () => await fail(diskDown) } })
  await t.rejects(files.remove(NAME), isOut(diskDown))
  t.same(calls(), ['local.find', 'local.removeFile', 'b2.mayReturn', 'local.remove'])
})
