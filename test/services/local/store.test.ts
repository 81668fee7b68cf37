import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { createLocalStore, type LocalStoreOptions } from '../../../services/local/store.ts'
import { filesBelow, newKey, uuidV7 } from '../../fixtures/local-files.ts'

function build (t: Test, options: Partial<LocalStoreOptions> = {}) {
  const dir = options.dir ?? join(t.testdir(), 'storage')
  const store = createLocalStore({ dir, ...options })
  t.teardown(() => store.close())
  return { dir, store }
}

t.test('a committed file is whole, private, and lies beside its receipt', async t => {
  const { dir, store } = build(t)
  await store.open()
  const key = newKey()
  const bytes = randomBytes(300_000)
  const writer = await store.create(key, { expectedBytes: bytes.length })
  await writer.write(bytes.subarray(0, 100_001))
  t.equal(writer.bytesWritten, 100_001)
  t.notOk(filesBelow(dir).includes(key), 'not to be seen before the commit')
  await writer.write(bytes.subarray(100_001))
  const location = await writer.commit({ size: bytes.length, title: 'Größe' })

  t.equal(location, store.location(key))
  t.same(filesBelow(dir), [key, `${key}.receipt.json`])
  t.ok(readFileSync(location).equals(bytes))
  t.equal(statSync(location).mode & 0o777, 0o600)
  t.same(JSON.parse(readFileSync(`${location}.receipt.json`, 'utf8')), { size: bytes.length, title: 'Größe' })
})

t.test('an empty file is stored like any other', async t => {
  const { store } = build(t)
  const writer = await store.create(newKey(''))
  await writer.write(new Uint8Array(0))
  t.equal(statSync(await writer.commit({})).size, 0)
})

t.test('the location is the directory joined with the key, relative where the directory is', t => {
  const key = newKey()
  t.equal(createLocalStore({ dir: './storage' }).location(key), `storage/${key}`)
  t.equal(createLocalStore({ dir: '/srv/storage/' }).location(key), `/srv/storage/${key}`)
  t.equal(createLocalStore({ dir: './storage' }).dir, './storage')
  t.throws(() => createLocalStore({ dir: '' }), TypeError)
  t.end()
})

t.test('a key that is not ours never becomes a path', async t => {
  const { dir, store } = build(t)
  const id = uuidV7()
  const bad = [
    '', id.toUpperCase(), `../${id}`, `tracks/../../${id}`, `tracks/./${id}`, `/tracks/${id}`, `tracks//${id}`, `tracks/${id}/`, `a\\b/${id}`,
    `tracks/\0/${id}`, `tracks/.${id}.part`, `tracks/${id}.receipt.json`, `tracks/${id}.MP3`, `tracks/${id}.toolongxx`, `tracks/${id}.`, `tracks/${id}\n`,
    'tracks/song.mp3', 'tracks/5b1f6d2e-8b0a-4c55-9a43-0d6f2f9ad1c1.mp3'
  ]
  for (const key of bad) {
    await t.rejects(store.create(key), TypeError, JSON.stringify(key))
    await t.rejects(store.find(key), TypeError)
    await t.rejects(store.remove(key), TypeError)
    t.throws(() => store.location(key), TypeError)
  }
  t.same(filesBelow(dir), [])
  for (const key of [id, `${id}.part`, `a/b c/ü/${id}.mp3`]) t.equal(store.location(key), join(dir, key))
})

t.test('a discarded file leaves nothing, however often it is discarded', async t => {
  const { dir, store } = build(t)
  const writer = await store.create(newKey())
  const writing = writer.write(randomBytes(1_000_000))
  await Promise.all([writer.discard(), writer.discard(), writing])
  await writer.discard()
  t.same(filesBelow(dir), [])
  await t.rejects(writer.write(Buffer.from('late')), { name: 'LocalStoreError', error_code: 'io_error' })
  await t.rejects(writer.commit({}), { name: 'LocalStoreError' })
})

t.test('a discard during or after a commit takes nothing back', async t => {
  const { dir, store } = build(t)
  const key = newKey()
  const writer = await store.create(key)
  await writer.write(Buffer.from('kept'))
  await Promise.all([writer.commit({}), writer.discard()])
  await writer.discard()
  t.same(filesBelow(dir), [key, `${key}.receipt.json`])
  await t.rejects(writer.commit({}), { name: 'LocalStoreError', error_code: 'io_error' })
  t.same(filesBelow(dir), [key, `${key}.receipt.json`], 'a second commit changes nothing')
})

t.test('a key that is stored or being written is not taken a second time', async t => {
  const { dir, store } = build(t)
  const key = newKey()
  const writer = await store.create(key)
  await t.rejects(store.create(key), { name: 'LocalStoreError', error_code: 'io_error', code: 'EEXIST' })
  await writer.write(Buffer.from('mine'))
  const location = await writer.commit({})
  await t.rejects(store.create(key), { name: 'LocalStoreError', error_code: 'io_error', code: 'EEXIST' })
  t.equal(readFileSync(location, 'utf8'), 'mine')
  t.same(filesBelow(dir), [key, `${key}.receipt.json`])
})

t.test('many writers at once do not mix up their bytes', async t => {
  const { dir, store } = build(t)
  await store.open()
  const written = await Promise.all(Array.from({ length: 40 }, async () => {
    const key = newKey()
    const writer = await store.create(key)
    const chunks = Array.from({ length: 5 }, () => randomBytes(10_000))
    await Promise.all(chunks.map(chunk => writer.write(chunk)))
    return { key, bytes: Buffer.concat(chunks), location: await writer.commit({ key }) }
  }))
  for (const { bytes, location } of written) t.equal(sha256(readFileSync(location)), sha256(bytes))
  t.equal(filesBelow(dir).length, 80)
})

t.test('a directory that was removed is made again for the next file', async t => {
  const { dir, store } = build(t)
  await store.open()
  rmSync(dir, { recursive: true })
  const location = await (await store.create(newKey())).commit({})
  t.equal(statSync(location).size, 0)
  rmSync(dir, { recursive: true })
  t.match(await store.status(), { writable: true })
})

t.test('a part file that was taken away is never called stored', async t => {
  const { dir, store } = build(t)
  const key = newKey()
  const writer = await store.create(key)
  await writer.write(Buffer.from('gone'))
  for (const file of filesBelow(dir)) rmSync(join(dir, file))
  await t.rejects(writer.commit({}), { name: 'LocalStoreError', error_code: 'io_error', code: 'ENOENT' })
  t.same(filesBelow(dir), [], 'the receipt, which had its name already, went too')
})

t.test('a removed file is gone with its receipt, also the second time', async t => {
  const { dir, store } = build(t)
  const key = newKey()
  await store.remove(key)
  await (await store.create(key)).commit({})
  await store.remove(key)
  t.same(filesBelow(dir), [])
  t.equal(await store.find(key), undefined)
  await store.remove(key)
})

t.test('a receipt that cannot be read is an error, not a missing one', async t => {
  const { dir, store } = build(t)
  const key = newKey()
  await (await store.create(key)).commit({})
  writeFileSync(join(dir, `${key}.receipt.json`), '{"half')
  await t.rejects(store.find(key), { name: 'LocalStoreError', error_code: 'io_error' })
})

t.test('a receipt that cannot be written as JSON leaves nothing', async t => {
  const { dir, store } = build(t)
  const receipt: Record<string, unknown> = {}
  receipt.itself = receipt
  await t.rejects((await store.create(newKey())).commit(receipt), { name: 'LocalStoreError', error_code: 'io_error' })
  t.same(filesBelow(dir), [])
})

t.test('the status tells the free bytes, and whether a file could be taken', async t => {
  const { dir, store } = build(t)
  await store.open()
  const status = await store.status()
  t.equal(status.writable, true)
  t.ok(status.free_bytes > 0)
  t.match(await build(t, { dir, minFreeBytes: Number.MAX_SAFE_INTEGER }).store.status(), { writable: false })

  const file = join(dir, 'file')
  writeFileSync(file, '')
  t.same(await build(t, { dir: join(file, 'below') }).store.status(), { writable: false, free_bytes: 0, free_inodes: 0 })
  t.match(await build(t, { dir: file }).store.status(), { writable: false })
})

t.test('free space that has to be kept is set aside at the start, and looked at every 16 MiB, as others use the disk, too', async t => {
  const MiB = 1_048_576
  let free = 100 * MiB
  let asked = 0
  const statfs = (async () => { asked++; return { bavail: free / 4096, bsize: 4096 } }) as unknown as typeof nodeFs.statfs
  const { dir, store } = build(t, { minFreeBytes: 60 * MiB, fs: { statfs } })

  await t.rejects(store.create(newKey(), { expectedBytes: 40 * MiB }), { name: 'LocalStoreError', error_code: 'disk_full' }, 'its receipt needs room, too')
  const writer = await store.create(newKey(), { expectedBytes: 39 * MiB })
  asked = 0
  const chunk = Buffer.alloc(MiB)
  const write = async (count: number) => {
    for (let n = 0; n < count; n++) {
      await writer.write(chunk)
      free -= MiB
    }
  }
  await write(15)
  t.equal(asked, 0)
  await write(1)
  t.equal(asked, 1)
  await write(15)
  t.equal(asked, 1)
  free = 67 * MiB
  await t.rejects(writer.write(chunk), { name: 'LocalStoreError', error_code: 'disk_full' }, 'eight are still to come')
  t.same(filesBelow(dir), [])
  t.ok(await store.create(newKey(), { expectedBytes: 6 * MiB }), 'nothing is set aside any more')
})

t.test('free space that cannot be measured does not stop an upload', async t => {
  const statfs = (async () => { throw Object.assign(new Error('no'), { code: 'ENOSYS' }) }) as unknown as typeof nodeFs.statfs
  const { store } = build(t, { minFreeBytes: 1, fs: { statfs } })
  t.ok(await (await store.create(newKey())).commit({}))
  t.same(await store.status(), { writable: true, free_bytes: 0, free_inodes: 0 })
})

t.test('new directories, renames and removals are made durable', async t => {
  const synced: string[] = []
  const open: typeof nodeFs.open = async (path, flags, mode) => {
    const handle = await nodeFs.open(path, flags, mode)
    if (flags === 'r') synced.push(String(path))
    return handle
  }
  const base = t.testdir()
  const dir = join(base, 'a', 'b')
  const { store } = build(t, { dir, fs: { open } })
  await store.open()
  t.same(synced.splice(0), [base, join(base, 'a')])
  const key = newKey()
  const writer = await store.create(key)
  t.same(synced.splice(0), [dir])
  await writer.commit({})
  t.same(synced.splice(0), [join(dir, 'tracks')])
  await store.remove(key)
  t.same(synced.splice(0), [join(dir, 'tracks')])
})

t.test('closing discards what is open, waits for a commit, and takes nothing more', async t => {
  const { dir, store } = build(t)
  await store.open()
  const kept = newKey()
  const committing = await store.create(kept)
  const abandoned = await store.create(newKey())
  await abandoned.write(Buffer.from('x'))
  const commit = committing.commit({})
  const creating = store.create(newKey())
  await Promise.all([store.close(), commit])
  t.same(filesBelow(dir), [kept, `${kept}.receipt.json`])
  await t.rejects(abandoned.write(Buffer.from('y')), { name: 'LocalStoreError', error_code: 'io_error' })
  await t.rejects(creating.then(writer => writer.write(Buffer.from('z'))), { name: 'LocalStoreError', error_code: 'io_error' })
  await t.rejects(store.create(newKey()), { name: 'LocalStoreError', error_code: 'io_error' })
  await t.rejects(store.open(), { name: 'LocalStoreError', error_code: 'io_error' })
  await store.close()
})

t.test('a directory that the system does not let be made is an error, and Node does not try for ever', { skip: process.platform === 'linux' ? false : 'there is no /proc' }, async t => {
  const { store } = build(t, { dir: '/proc/nope/below' })
  await t.rejects(store.open(), { name: 'LocalStoreError', code: 'ENOENT', syscall: 'mkdir' })
})

t.test('a directory that is a file is an error without a path in its message', async t => {
  const base = t.testdir({ file: '' })
  const { store } = build(t, { dir: join(base, 'file') })
  const error = await store.open().then(() => t.fail('opened'), error => error)
  t.match(error, { name: 'LocalStoreError', error_code: 'io_error', code: 'EEXIST', syscall: 'mkdir' })
  t.notMatch(error.message, base)
  t.match(error.cause, { code: 'EEXIST' })
  await t.rejects(store.create(newKey()), { name: 'LocalStoreError', error_code: 'io_error', code: 'ENOTDIR' })

  rmSync(join(base, 'file'))
  mkdirSync(join(base, 'file'))
  await store.open()
  t.ok(await (await store.create(newKey())).commit({}), 'usable once the cause is gone')
})

function sha256 (bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
