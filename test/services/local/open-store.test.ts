import { rmSync } from 'node:fs'
import nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import Fastify from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import localStore, { kLocalStore } from '../../../plugins/local-store.ts'
import { openLocalStore } from '../../../services/local/open-store.ts'
import type { OpenLocalStoreOptions } from '../../../services/local/open-store.ts'
import type { LocalStore } from '../../../services/local/store.ts'
import type { Log } from '../../../services/log.ts'
import { filesBelow, newKey, put, uuidV7 } from '../../fixtures/local-files.ts'

function build (t: Test) {
  const lines: Array<Record<string, unknown>> = []
  const log: Log = { info () {}, warn: (fields, msg) => { lines.push({ level: 40, ...fields, msg }) }, error: (fields, msg) => { lines.push({ level: 50, ...fields, msg }) } }
  const open = async (options: Omit<OpenLocalStoreOptions, 'log'>): Promise<LocalStore> => {
    const store = await openLocalStore({ ...options, log })
    t.teardown(async () => { await store.close() })
    return store
  }
  return { open, lines }
}

t.test('the app has a store that is open, and closes it', async t => {
  const app = Fastify()
  const { open, lines } = build(t)
  const dir = join(t.testdir(), 'storage')
  await app.register(localStore, { local: await open({ dir, required: true }) })
  await app.ready()
  t.match(await app[kLocalStore].status(), { writable: true })
  const key = newKey()
  await (await app[kLocalStore].create(key)).commit({ key })
  const writer = await app[kLocalStore].create(newKey())
  await writer.write(Buffer.from('half'))
  await app.close()
  t.same(filesBelow(dir), [key, `${key}.receipt.json`])
  await t.rejects(app[kLocalStore].create(newKey()), { name: 'LocalStoreError' })
  t.same(lines, [])
})

t.test('a required directory that cannot be used stops the start and names itself', async t => {
  const { open } = build(t)
  const dir = join(t.testdir({ file: '' }), 'file')
  await t.rejects(open({ dir, required: true }), {
    message: `The local storage directory "${dir}" (LOCAL_STORAGE_DIR) cannot be created or written. The local directory cannot be used: the disk or file system reported an error (mkdir EEXIST)`,
    cause: { name: 'LocalStoreError', error_code: 'io_error' }
  })
})

for (const code of ['ENOSPC', 'EDQUOT']) {
  t.test(`a full disk (${code}) stops no start, is swept, and takes files once there is room`, async t => {
    const { open: openStore, lines } = build(t)
    const dir = t.testdir()
    const stale = `.${uuidV7()}.part`
    put(dir, stale)
    let isFull = true
    const open = (async (path: string, ...rest: []) => {
      if (isFull) throw Object.assign(new Error('no'), { code, syscall: 'open' })
      return await nodeFs.open(path, ...rest)
    }) as unknown as typeof nodeFs.open
    let swept = (): void => {}
    const sweeping = new Promise<void>(resolve => { swept = resolve })
    const unlink: typeof nodeFs.unlink = async path => { await nodeFs.unlink(path).finally(swept) }
    // The sweep's own timer does not keep a process alive.
    const alive = setInterval(() => {}, 10_000)
    t.teardown(() => clearInterval(alive))
    const store = await openStore({ dir, required: true, sweepDelayMs: 1, fs: { open, unlink } })
    t.match(lines, [{ level: 40, dir, err: { error_code: 'disk_full' }, msg: /is full/ }])
    await sweeping
    t.same(filesBelow(dir), [])
    await t.rejects(store.create(newKey()), { name: 'LocalStoreError', error_code: 'disk_full' })
    isFull = false
    t.ok(await (await store.create(newKey())).commit({}))
  })
}

t.test('without being required it is a warning, and the store works once the cause is gone', async t => {
  const { open, lines } = build(t)
  const dir = join(t.testdir({ file: '' }), 'file')
  const store = await open({ dir, required: false })
  t.match(lines, [{ level: 40, dir, err: { error_code: 'io_error' }, msg: /cannot be created or written/ }])
  t.match(await store.status(), { writable: false })
  await t.rejects(store.create(newKey()), { name: 'LocalStoreError', error_code: 'io_error' })

  rmSync(dir)
  t.ok(await (await store.create(newKey())).commit({}))
})
