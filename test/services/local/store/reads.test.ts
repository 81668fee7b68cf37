import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import nodeFs from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { once } from 'node:events'
import t from 'tap'
import { faultyFs, type Fault } from '../../../fixtures/faulty-fs.ts'
import { build, filesBelow, newKey, newReceipt, put, storeFile } from '../../../fixtures/local-files.ts'

t.test('a stored file is found with its receipt', async t => {
  const { store } = build(t)
  const key = await storeFile(store)
  t.same(await store.find(key), { kind: 'file', receipt: newReceipt(key), setAside: undefined })
  t.equal(await store.find(newKey()), undefined)
  await store.remove(key)
  t.equal(await store.find(key), undefined)
})

t.test('a receipt without its file, or a file without its receipt, is not found', async t => {
  const { dir, store } = build(t)
  const [receipt, data] = [newKey(), newKey()]
  put(dir, `${receipt}.receipt.json`, JSON.stringify(newReceipt(receipt)))
  put(dir, data, 'data')
  t.equal(await store.find(receipt), undefined)
  t.equal(await store.find(data), undefined)
})

t.test('a file is not found before the last rename of its commit', async t => {
  const key = newKey()
  const seen: unknown[] = []
  const rename: typeof nodeFs.rename = async (from, to) => {
    await nodeFs.rename(from, to)
    seen.push((await store.find(key))?.kind)
  }
  const { store } = build(t, { fs: { rename } })
  await (await store.create(key)).commit(newReceipt(key))
  t.same(seen, [undefined, 'file'])
})

t.test('a kept receipt is found as one, and can be removed', async t => {
  const { dir, store } = build(t)
  const key = newKey()
  await store.keepReceipt(key, newReceipt(key, 'b2'))
  t.same(filesBelow(dir), [`${key}.receipt.json`])
  t.same(await store.find(key), { kind: 'receipt', receipt: newReceipt(key, 'b2'), setAside: undefined })
  await store.remove(key)
  t.same(filesBelow(dir), [])
})

t.test('a receipt is never kept over another one', async t => {
  const { store } = build(t)
  const [stored, kept] = [await storeFile(store), newKey()]
  await store.keepReceipt(kept, newReceipt(kept, 'b2'))
  for (const key of [stored, kept]) {
    const before = await store.find(key)
    await t.rejects(store.keepReceipt(key, { ...newReceipt(key, 'b2'), location: 'other' }), { name: 'LocalStoreError', error_code: 'io_error', code: 'EEXIST' })
    t.same(await store.find(key), before)
  }
})

const FAULTS: Array<[Omit<Fault, 'of'> & { of: 'file' | 'directory' }, string]> = [
  [{ call: 'open', of: 'file', code: 'EACCES' }, 'permission_denied'],
  [{ call: 'open', of: 'file', code: 'ENOSPC' }, 'disk_full'],
  [{ call: 'write', of: 'file', code: 'ENOSPC', afterShortWrite: true }, 'disk_full'],
  [{ call: 'sync', of: 'file', code: 'EDQUOT' }, 'disk_full'],
  [{ call: 'rename', of: 'file', code: 'EIO' }, 'io_error'],
  [{ call: 'rename', of: 'file', code: 'EIO', afterDoing: true }, 'io_error'],
  [{ call: 'sync', of: 'directory', code: 'EIO' }, 'io_error']
]

for (const [{ of, ...fault }, errorCode] of FAULTS) {
  const how = `${fault.afterShortWrite ? ' after a short write' : ''}${fault.afterDoing ? ' although it was done' : ''}`

  t.test(`keeping a receipt: ${fault.code} at ${fault.call} of the ${of}${how} leaves nothing`, async t => {
    const faulty = faultyFs({ ...fault, of: of === 'file' ? 'receipt' : of })
    const { dir, store } = build(t, { fs: faulty.fs })
    await store.remove(await storeFile(store)) // the directories are there
    faulty.arm()
    const key = newKey()
    const error = await store.keepReceipt(key, newReceipt(key, 'b2')).then(() => undefined, error => error)
    t.match(error, { name: 'LocalStoreError', error_code: errorCode, code: fault.code })
    t.notMatch(error.message, /[/]/)
    t.ok(faulty.tripped() > 0)
    t.same(filesBelow(dir), [])
    t.equal(faulty.openHandles(), 0)
  })

  t.test(`setting aside: ${fault.code} at ${fault.call} of the ${of}${how} leaves the file as it was`, async t => {
    const faulty = faultyFs({ ...fault, of: of === 'file' ? 'data' : of })
    const { dir, store } = build(t, { fs: faulty.fs })
    const key = await storeFile(store)
    faulty.arm()
    await t.rejects(store.setAside(key, 'its bytes changed'), { name: 'LocalStoreError', error_code: errorCode, code: fault.code })
    t.ok(faulty.tripped() > 0)
    t.same(filesBelow(dir), [key, `${key}.receipt.json`])
    t.match(await store.find(key), { kind: 'file', setAside: undefined })
    t.equal(faulty.openHandles(), 0)
  })
}

t.test('a damaged receipt is an error and told once, and nothing is touched', async t => {
  const key = newKey()
  const whole = newReceipt(key)
  const { sha256, ...rest } = whole.track
  const damaged = ['', '{"storage":"local","tra', 'null', '"local"', '{}', JSON.stringify({ ...whole, storage: 'tape' }),
    JSON.stringify({ ...whole, track: rest }), JSON.stringify(newReceipt(newKey()))]
  for (const text of damaged) {
    const { dir, store, log } = build(t)
    put(dir, key, 'data')
    put(dir, `${key}.receipt.json`, text)
    await t.rejects(store.find(key), { name: 'LocalStoreError', error_code: 'io_error', message: /damaged/ }, text)
    await t.rejects(store.find(key), { name: 'LocalStoreError' })
    t.match(log.lines, [{ level: 'error', facts: { key } }])
    t.equal(log.lines.length, 1)
    t.equal(readFileSync(join(dir, `${key}.receipt.json`), 'utf8'), text)

    put(dir, `${key}.receipt.json`, JSON.stringify(whole))
    t.match(await store.find(key), { kind: 'file' }, 'found once it was repaired')
  }
})

t.test('a receipt, a note or a file that may not be read is permission_denied, never missing', async t => {
  const denied = Object.assign(new Error('no'), { code: 'EACCES' })
  const dir = join(t.testdir(), 'storage')
  const key = await storeFile(build(t, { dir }).store)
  const fail = async (): Promise<never> => { throw denied }
  const { store } = build(t, { dir, fs: { readFile: fail, open: fail } })
  await t.rejects(store.find(key), { name: 'LocalStoreError', error_code: 'permission_denied' })
  await t.rejects(store.openFile(key), { name: 'LocalStoreError', error_code: 'permission_denied' })
  const lstat = fail as unknown as typeof nodeFs.lstat
  await t.rejects(build(t, { dir, fs: { lstat } }).store.find(key), { name: 'LocalStoreError', error_code: 'permission_denied' })
})

/** Counts the files that are open. */
function countingFs () {
  const handles: FileHandle[] = []
  const open: typeof nodeFs.open = async (path, flags, mode) => {
    const handle = await nodeFs.open(path, flags, mode)
    handles.push(handle)
    return handle
  }
  return { fs: { open }, open: () => handles.filter(handle => handle.fd !== -1).length }
}

async function end (stream: Readable): Promise<void> {
  stream.destroy()
  if (!stream.closed) await once(stream, 'close')
}

t.test('an open file gives all its bytes or a range, and its stream closes it', async t => {
  const files = countingFs()
  const { store } = build(t, { fs: files.fs })
  const bytes = Buffer.from(Array.from({ length: 200_000 }, (_, n) => n % 251))
  const key = await storeFile(store, newKey(), bytes)
  const read = async (range?: { first: number, last: number }) => {
    const file = (await store.openFile(key))!
    t.equal(file.size, bytes.length)
    const stream = file.stream(range)
    const read = await buffer(stream)
    if (!stream.closed) await once(stream, 'close')
    await file.close()
    return read
  }
  t.ok((await read()).equals(bytes))
  t.ok((await read({ first: 0, last: 0 })).equals(bytes.subarray(0, 1)))
  t.ok((await read({ first: 100, last: 150_000 })).equals(bytes.subarray(100, 150_001)))
  t.ok((await read({ first: 199_999, last: 199_999 })).equals(bytes.subarray(199_999)))
  t.equal(files.open(), 0)

  const halfway = (await store.openFile(key))!.stream()
  await once(halfway, 'data')
  await end(halfway)
  t.equal(files.open(), 0, 'also when the reader leaves')
})

t.test('an open file stays readable while it is removed', async t => {
  const { dir, store } = build(t)
  const key = await storeFile(store, newKey(), 'still here')
  const file = (await store.openFile(key))!
  await store.remove(key)
  t.same(filesBelow(dir), [])
  t.equal(file.size, 10)
  t.equal((await buffer(file.stream())).toString(), 'still here')
})

t.test('an open file gives one stream, or is closed without any', async t => {
  const files = countingFs()
  const { store } = build(t, { fs: files.fs })
  const key = await storeFile(store)
  const file = (await store.openFile(key))!
  for (const [first, last] of [[2, 1], [-1, 1], [0, 4], [NaN, 1]] as const) t.throws(() => file.stream({ first, last }), RangeError)
  await file.close()
  await file.close()
  t.equal(files.open(), 0)
  t.throws(() => file.stream(), /already/)

  const other = (await store.openFile(key))!
  const stream = other.stream()
  t.throws(() => other.stream(), /already/)
  await end(stream)
  t.equal(files.open(), 0)
})

t.test('what is not a file is not opened', async t => {
  const files = countingFs()
  const { dir, store } = build(t, { fs: files.fs })
  t.equal(await store.openFile(newKey()), undefined)
  const key = newKey()
  mkdirSync(join(dir, key), { recursive: true })
  t.equal(await store.openFile(key), undefined)
  t.equal(files.open(), 0)
  rmSync(dir, { recursive: true })
  t.equal(await store.openFile(key), undefined)
})

t.test('a key that is not ours never becomes a path', async t => {
  const { dir, store } = build(t)
  for (const key of ['', 'tracks/song.mp3', `../${newKey()}`, `${newKey()}.receipt.json`, `${newKey()}.set-aside.json`, `${newKey()}/x`]) {
    for (const call of [store.find, store.openFile, store.takeUp, store.claim]) await t.rejects(Promise.resolve(call(key)).then(() => {}), TypeError, JSON.stringify(key))
    await t.rejects(store.keepReceipt(key, newReceipt(key, 'b2')), TypeError)
    await t.rejects(store.setAside(key, 'because'), TypeError)
  }
  t.same(filesBelow(dir), [])
})

t.test('closing waits for a receipt on its way, and nothing is written afterwards', async t => {
  const { dir, store } = build(t)
  const key = newKey()
  const keeping = store.keepReceipt(key, newReceipt(key, 'b2'))
  await store.close()
  t.same(filesBelow(dir), [`${key}.receipt.json`])
  await keeping
  await t.rejects(store.keepReceipt(newKey(), newReceipt(newKey(), 'b2')), { name: 'LocalStoreError' })
  await t.rejects(store.setAside(key, 'because'), { name: 'LocalStoreError' })
  t.same(filesBelow(dir), [`${key}.receipt.json`])
})
