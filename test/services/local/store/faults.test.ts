import { existsSync, readFileSync, rmSync } from 'node:fs'
import nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { createLocalStore } from '../../../../services/local/store.ts'
import { faultyFs, type Fault } from '../../../fixtures/faulty-fs.ts'
import { filesBelow, newKey, recordingLog } from '../../../fixtures/local-files.ts'

const FAULTS: Array<[Fault, string]> = [
  [{ call: 'open', of: 'data', code: 'EACCES' }, 'permission_denied'],
  [{ call: 'open', of: 'data', code: 'EROFS' }, 'permission_denied'],
  [{ call: 'open', of: 'data', code: 'ENOSPC' }, 'disk_full'],
  [{ call: 'open', of: 'data', code: 'EMFILE' }, 'io_error'],
  [{ call: 'write', of: 'data', code: 'ENOSPC' }, 'disk_full'],
  [{ call: 'write', of: 'data', code: 'ENOSPC', afterShortWrite: true }, 'disk_full'],
  [{ call: 'write', of: 'data', code: 'EFBIG' }, 'disk_full'],
  [{ call: 'write', of: 'data', code: 'EIO' }, 'io_error'],
  [{ call: 'sync', of: 'data', code: 'EIO' }, 'io_error'],
  [{ call: 'sync', of: 'data', code: 'EDQUOT' }, 'disk_full'],
  [{ call: 'open', of: 'receipt', code: 'EACCES' }, 'permission_denied'],
  [{ call: 'open', of: 'receipt', code: 'ENOSPC' }, 'disk_full'],
  [{ call: 'write', of: 'receipt', code: 'ENOSPC', afterShortWrite: true }, 'disk_full'],
  [{ call: 'sync', of: 'receipt', code: 'EIO' }, 'io_error'],
  [{ call: 'rename', of: 'receipt', code: 'EPERM' }, 'permission_denied'],
  [{ call: 'rename', of: 'receipt', code: 'EIO', afterDoing: true }, 'io_error'],
  [{ call: 'rename', of: 'data', code: 'ENOSPC' }, 'disk_full'],
  [{ call: 'rename', of: 'data', code: 'EIO', afterDoing: true }, 'io_error'],
  [{ call: 'open', of: 'directory', code: 'EACCES' }, 'permission_denied'],
  [{ call: 'sync', of: 'directory', code: 'EIO' }, 'io_error']
]

for (const [fault, errorCode] of FAULTS) {
  const how = `${fault.afterShortWrite ? ' after a short write' : ''}${fault.afterDoing ? ' although it was done' : ''}`
  t.test(`${fault.code} at ${fault.call} of the ${fault.of}${how} is ${errorCode} and leaves nothing`, async t => {
    const dir = join(t.testdir(), 'storage')
    const faulty = faultyFs(fault)
    const store = createLocalStore({ dir, fs: faulty.fs })
    t.teardown(() => store.close())
    await store.open()
    await (await store.create(newKey())).discard() // the directories are there
    faulty.arm()

    const error = await storeOne().then(() => undefined, error => error)
    t.equal(faulty.tripped(), 1)
    t.match(error, { name: 'LocalStoreError', error_code: errorCode, code: fault.code, syscall: /^(open|write|fsync|rename)$/ })
    t.notMatch(error.message, /[/]/, 'the message is free of paths')
    t.match(error.cause, { code: fault.code })
    t.same(filesBelow(dir), [])
    t.equal(faulty.openHandles(), 0)

    async function storeOne (): Promise<void> {
      const writer = await store.create(newKey())
      try {
        await writer.write(Buffer.alloc(10_000, 'a'))
        await writer.commit({ some: 'receipt' })
      } catch (error) {
        await t.rejects(writer.write(Buffer.from('b')), error as Error, 'the writer has ended')
        await t.rejects(writer.commit({}), error as Error)
        t.same(filesBelow(dir), [], 'before the discard')
        await writer.discard()
        throw error
      }
    }
  })
}

t.test('short writes are carried on until every byte is there', async t => {
  const dir = t.testdir()
  const open: typeof nodeFs.open = async (path, flags, mode) => {
    const handle = await nodeFs.open(path, flags, mode)
    const write = handle.write.bind(handle)
    const short = (bytes: Uint8Array, offset: number, length: number, position: number) => write(bytes, offset, Math.min(length, 7), position)
    return Object.assign(handle, { write: short })
  }
  const store = createLocalStore({ dir, fs: { open } })
  t.teardown(() => store.close())
  const writer = await store.create(newKey())
  await writer.write(Buffer.from('a sentence of some length, '))
  await writer.write(Buffer.from('and one more'))
  const location = await writer.commit({ also: 'the receipt, which is longer than seven bytes' })
  t.equal(readFileSync(location, 'utf8'), 'a sentence of some length, and one more')
  t.same(JSON.parse(readFileSync(`${location}.receipt.json`, 'utf8')), { also: 'the receipt, which is longer than seven bytes' })
})

t.test('a disk that takes no bytes and says nothing is an error, not an endless loop', async t => {
  const dir = t.testdir()
  const open: typeof nodeFs.open = async (path, flags, mode) =>
    Object.assign(await nodeFs.open(path, flags, mode), { write: async () => ({ bytesWritten: 0 }) })
  const store = createLocalStore({ dir, fs: { open } })
  t.teardown(() => store.close())
  await t.rejects((await store.create(newKey())).write(Buffer.from('x')), { name: 'LocalStoreError', error_code: 'io_error', code: 'EIO' })
  t.same(filesBelow(dir), [])
})

t.test('a device that is really full is disk_full', { skip: !existsSync('/dev/full') }, async t => {
  const dir = t.testdir()
  const open: typeof nodeFs.open = async (path, flags, mode) => {
    if (!String(path).endsWith('.mp3.part')) return await nodeFs.open(path, flags, mode)
    await nodeFs.writeFile(path, '')
    return await nodeFs.open('/dev/full', 'w')
  }
  const store = createLocalStore({ dir, fs: { open } })
  t.teardown(() => store.close())
  await t.rejects((await store.create(newKey())).write(Buffer.from('x')), { name: 'LocalStoreError', error_code: 'disk_full', code: 'ENOSPC', syscall: 'write' })
  t.same(filesBelow(dir), [])
})

t.test('a file system that cannot sync directories still stores', async t => {
  const dir = join(t.testdir(), 'storage')
  const faulty = faultyFs({ call: 'sync', of: 'directory', code: 'EINVAL' })
  faulty.arm()
  const store = createLocalStore({ dir, fs: faulty.fs })
  t.teardown(() => store.close())
  t.ok(await (await store.create(newKey())).commit({}))
  t.ok(faulty.tripped() > 0)
  t.equal(faulty.openHandles(), 0)
})

t.test('one file that fails does not touch the others', async t => {
  const dir = join(t.testdir(), 'storage')
  const faulty = faultyFs({ call: 'write', of: 'data', code: 'ENOSPC' })
  const store = createLocalStore({ dir, fs: faulty.fs })
  t.teardown(() => store.close())
  const key = newKey()
  const good = await store.create(key)
  await good.write(Buffer.from('good'))
  const bad = await store.create(newKey())
  faulty.arm()
  await t.rejects(bad.write(Buffer.from('bad')), { name: 'LocalStoreError', error_code: 'disk_full' })
  await good.commit({})
  t.same(filesBelow(dir), [key, `${key}.receipt.json`])
})

t.test('what cannot be cleaned up is logged, and discard does not reject', async t => {
  const log = recordingLog()
  const unlink: typeof nodeFs.unlink = async () => { throw Object.assign(new Error('stuck'), { code: 'EIO' }) }
  const store = createLocalStore({ dir: t.testdir(), log, fs: { unlink } })
  t.teardown(() => store.close())
  await (await store.create(newKey())).discard()
  t.match(log.lines, [{ level: 'warn', facts: { err: { code: 'EIO' } }, message: /could not be cleaned up/ }])
})

t.test('what is gone already is cleaned up, and a file that cannot be closed is logged', async t => {
  const dir = t.testdir()
  const log = recordingLog()
  let closeFails = false
  const open: typeof nodeFs.open = async (path, flags, mode) => {
    const handle = await nodeFs.open(path, flags, mode)
    const close = handle.close.bind(handle)
    return Object.assign(handle, {
      async close () {
        await close()
        if (closeFails) throw Object.assign(new Error('no'), { code: 'EIO', syscall: 'close' })
      },
    })
  }
  const store = createLocalStore({ dir, log, fs: { open } })
  t.teardown(() => store.close())
  const gone = await store.create(newKey())
  for (const name of filesBelow(dir)) rmSync(join(dir, name))
  await gone.discard()
  t.same(log.lines, [])
  const stuck = await store.create(newKey())
  closeFails = true
  await stuck.discard()
  t.match(log.lines, [{ level: 'warn', facts: { err: { code: 'EIO', syscall: 'close' } } }])
  t.same(filesBelow(dir), [])
})

t.test('a removal or a receipt that the disk refuses is an error with its code', async t => {
  const denied = async () => { throw Object.assign(new Error('no'), { code: 'EACCES', syscall: 'unlink' }) }
  const store = createLocalStore({ dir: t.testdir(), fs: { unlink: denied, readFile: denied as unknown as typeof nodeFs.readFile } })
  t.teardown(() => store.close())
  await t.rejects(store.remove(newKey()), { name: 'LocalStoreError', error_code: 'permission_denied' })
  await t.rejects(store.find(newKey()), { name: 'LocalStoreError', error_code: 'permission_denied' })
  await t.rejects(store.takeUp(newKey()), { name: 'LocalStoreError', error_code: 'permission_denied', message: /could not be taken up again/ })
})

t.test('a directory that may not be written is permission_denied, and not writable', async t => {
  const denied = (syscall: string) => async () => { throw Object.assign(new Error('no'), { code: 'EACCES', syscall }) }
  const store = createLocalStore({ dir: t.testdir(), fs: { open: denied('open'), access: denied('access') } })
  t.teardown(() => store.close())
  await t.rejects(store.open(), { name: 'LocalStoreError', error_code: 'permission_denied', syscall: 'open', code: 'EACCES' })
  t.match(await store.status(), { writable: false })
})
