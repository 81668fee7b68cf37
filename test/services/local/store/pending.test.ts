import { mkdirSync, rmSync } from 'node:fs'
import type nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { all, build, dirOf, filesBelow, newKey, newReceipt, put, refusing, storeFile } from '../../../fixtures/local-files.ts'

/** A key whose id is of the given time. */
function keyAt (time: number, directory = 'tracks/'): string {
  const id = newKey('').slice('tracks/'.length)
  return `${directory}${time.toString(16).padStart(8, '0')}${id.slice(8)}.mp3`
}

t.test('pending are whole files and kept receipts, oldest first, wherever they lie', async t => {
  const { dir, store } = build(t)
  t.same(await all(store.pending()), [], 'also before there is a directory')
  const keys = [keyAt(1, 'z/'), keyAt(2), keyAt(3, ''), keyAt(4, 'a/b/'), keyAt(5), keyAt(6, 'z/')] as const
  for (const index of [5, 0, 3, 2, 4]) await storeFile(store, keys[index])
  await store.keepReceipt(keys[1], newReceipt(keys[1], 'b2'))
  await store.setAside(keys[3], 'its bytes changed')
  t.same(await all(store.pending()), keys.map((key, index) => ({
    key,
    kind: index === 1 ? 'receipt' : 'file',
    setAside: index === 3 ? 'its bytes changed' : undefined
  })))
  rmSync(dir, { recursive: true })
  t.same(await all(store.pending()), [])
})

t.test('what is not a whole file of ours is not pending', async t => {
  const { dir, store } = build(t)
  const [alone, data, hidden, snapshot] = [newKey(), newKey(), newKey(), newKey()]
  put(dir, `${alone}.receipt.json`, JSON.stringify(newReceipt(alone)))
  put(dir, data)
  put(dir, 'tracks/song.mp3')
  put(dir, 'tracks/song.mp3.receipt.json', JSON.stringify(newReceipt('tracks/song.mp3')))
  put(dir, `${newKey()}.set-aside.json`, '{}')
  for (const key of [hidden, snapshot]) {
    const directory = key === hidden ? '.leftovers' : '.snapshot/daily'
    put(dir, `${directory}/${key}`)
    put(dir, `${directory}/${key}.receipt.json`, JSON.stringify(newReceipt(key)))
  }
  const writer = await store.create(newKey())
  t.same(await all(store.pending()), [])
  await writer.discard()
})

t.test('a copied file is not promoted under the name of the copy', async t => {
  const { dir, store } = build(t)
  const key = newKey()
  put(dir, `backup/${key}`)
  put(dir, `backup/${key}.receipt.json`, JSON.stringify(newReceipt(key)))
  await t.rejects(store.find(`backup/${key}`), { name: 'LocalStoreError' })
  t.match(await all(store.pending()), [{ key: `backup/${key}`, setAside: /damaged/ }])
})

t.test('a file that was set aside stays so for every process until it is taken up', async t => {
  const { dir, store } = build(t)
  const other = build(t, { dir }).store
  const key = await storeFile(store)
  await store.setAside(key, 'first')
  await store.setAside(key, 'its bytes changed')
  t.same(await other.find(key), { kind: 'file', receipt: newReceipt(key), setAside: 'its bytes changed' })
  t.same(await all(other.pending()), [{ key, kind: 'file', setAside: 'its bytes changed' }])
  await other.takeUp(key)
  await other.takeUp(key)
  t.same(await all(store.pending()), [{ key, kind: 'file', setAside: undefined }])
  t.same(filesBelow(dir), [key, `${key}.receipt.json`])
})

t.test('a note whose reason cannot be read sets aside all the same', async t => {
  const { dir, store } = build(t)
  const key = await storeFile(store)
  for (const note of ['', 'null', '{"reason":1}']) {
    put(dir, `${key}.set-aside.json`, note)
    t.match(await store.find(key), { kind: 'file', setAside: /cannot be read/ })
    t.match(await all(store.pending()), [{ key, setAside: /cannot be read/ }])
  }
})

t.test('a note goes with its file, and none is made without a receipt', async t => {
  const { dir, store } = build(t)
  const key = await storeFile(store)
  await store.setAside(key, 'because')
  await store.remove(key)
  await store.setAside(key, 'too late')
  t.same(filesBelow(dir), [])
})

t.test('a damaged receipt counts as set aside, is told once, and comes back when it is repaired', async t => {
  const { dir, store, log } = build(t)
  const [whole, alone] = [await storeFile(store, keyAt(1)), keyAt(2)]
  for (const key of [whole, alone]) put(dir, `${key}.receipt.json`, '{"half')
  await t.rejects(store.find(whole), { name: 'LocalStoreError' })
  for (let pass = 0; pass < 2; pass++) {
    t.match(await all(store.pending()), [{ key: whole, kind: 'file', setAside: /damaged/ }, { key: alone, kind: 'receipt', setAside: /damaged/ }])
  }
  t.same(log.lines.map(({ level, facts }) => [level, facts.key]), [['error', whole], ['error', alone]])

  put(dir, `${whole}.receipt.json`, JSON.stringify(newReceipt(whole)))
  put(dir, `${alone}.receipt.json`, JSON.stringify(newReceipt(alone, 'b2')))
  t.same((await all(store.pending())).map(({ setAside }) => setAside), [undefined, undefined])
  put(dir, `${alone}.receipt.json`, '{"half')
  t.match(await all(store.pending()), [{ key: whole, setAside: undefined }, { key: alone, setAside: /damaged/ }])
  t.equal(log.lines.length, 3, 'told again when it is damaged again')
})

t.test('a long directory is read without receipts, and others have their turns meanwhile', async t => {
  const key = newKey('')
  const names = Array.from({ length: 10_000 }, (_, n) => `${n.toString(16).padStart(8, '0')}${key.slice(15)}`).flatMap(name => [name, `${name}.receipt.json`])
  const opendir = dirOf(names)
  let reads = 0
  const readFile = (async () => { reads++; throw new Error('not needed') }) as unknown as typeof nodeFs.readFile
  const { store } = build(t, { fs: { opendir, readFile } })

  let turns = 0
  let counting: NodeJS.Immediate
  const count = () => { turns++; counting = setImmediate(count) }
  counting = setImmediate(count)
  const pending = await all(store.pending())
  clearImmediate(counting)
  t.equal(pending.length, 10_000)
  t.equal(pending.at(0)?.key, names.at(0))
  t.equal(pending.at(-1)?.key, names.at(-2))
  t.equal(reads, 0)
  t.ok(turns >= 30, `${turns} turns`)
})

t.test('a directory that may not be read is passed over and told once; the store\'s own is an error', async t => {
  const denied = Object.assign(new Error('no'), { code: 'EACCES', syscall: 'scandir' })
  let closed = 'lost+found'
  const opendir = refusing(path => path.endsWith(closed), denied, 'opendir')
  const { dir, store, log } = build(t, { fs: opendir })
  const key = await storeFile(store)
  mkdirSync(join(dir, 'lost+found'))
  for (let pass = 0; pass < 2; pass++) t.match(await all(store.pending()), [{ key }])
  t.equal(log.lines.length, 1)
  closed = 'storage'
  await t.rejects(all(store.pending()), { name: 'LocalStoreError', error_code: 'permission_denied' })
})
