import { statSync } from 'node:fs'
import nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { build, filesBelow, newKey, newReceipt, put, recordingLog, storeFile, uuidV7 } from '../../../fixtures/local-files.ts'

// The sweep's own timer does not keep a process alive.
const alive = setInterval(() => {}, 10_000)
t.teardown(() => clearInterval(alive))

/** Far longer than any test. */
const NEVER_MS = 3_600_000

const failure = (code: string): Error => Object.assign(new Error('no'), { code, syscall: 'open' })

t.test('opening a store sweeps it once, and says what it found', async t => {
  const { dir, store, log } = build(t, { sweepDelayMs: 20 })
  put(dir, `tracks/.${uuidV7()}.part`)
  put(dir, `tracks/${uuidV7()}`)
  const open = newKey()
  const writer = await store.create(open)
  await store.open()
  t.match(await log.line(/leftovers/), { level: 'info', facts: { partFilesRemoved: 1, receiptsRemoved: 0 } })
  t.match(await log.line(/without a receipt/), { level: 'warn', facts: { count: 1 } })
  await writer.commit({})
  t.equal(filesBelow(dir).length, 3)
  t.equal(log.lines.length, 2)
})

t.test('of a sweep that found nothing nothing is said, of one that found a receipt it is', async t => {
  const quiet = build(t, { sweepDelayMs: 1 })
  let isOver = (): void => {}
  const over = new Promise<void>(resolve => { isOver = resolve })
  const swept = build(t, { dir: quiet.dir, sweepDelayMs: 20, log: { info: () => isOver(), warn () {}, error () {} } })
  await quiet.store.open()
  await quiet.store.close()
  t.same(quiet.log.lines, [])
  const lost = newKey()
  put(quiet.dir, `${lost}.receipt.json`, JSON.stringify(newReceipt(lost)))
  await swept.store.open()
  await over
  t.same(filesBelow(quiet.dir), [])
})

t.test('a store that was not opened, or in vain, is swept when its first file begins, and only then', async t => {
  let searches = 0
  let isReadOnly = true
  const { dir, store, log } = build(t, {
    sweepDelayMs: 20,
    fs: {
      open: (async (path: string, ...rest: []) => {
        if (isReadOnly) throw failure('EROFS')
        return await nodeFs.open(path, ...rest)
      }) as unknown as typeof nodeFs.open,
      opendir: async (path, options) => { searches++; return await nodeFs.opendir(path, options) },
    },
  })
  put(dir, `.${uuidV7()}.part`)
  await t.rejects(store.open(), { name: 'LocalStoreError', error_code: 'permission_denied' })
  t.equal(searches, 0)
  isReadOnly = false
  await storeFile(store)
  await storeFile(store)
  await store.open()
  t.match(await log.line(/leftovers/), { facts: { partFilesRemoved: 1 } })
  t.equal(searches, 4, 'two for each directory: one for part files, one for all others')
})

t.test('a sweep that fails is logged, and harms nobody', async t => {
  let looks = 0
  const key = newKey()
  const lstat = (async (path: string, options: object) => {
    if (path.endsWith(key) && looks++ >= 0) throw failure('EIO')
    return await nodeFs.lstat(path, options)
  }) as typeof nodeFs.lstat
  const { dir, store, log } = build(t, { sweepDelayMs: 1, fs: { lstat } })
  put(dir, key)
  await store.open()
  t.match(await log.line(/could not be searched for leftovers/), { level: 'error', facts: { err: { code: 'EIO' } } })
  t.ok(await storeFile(store))
})

t.test('closing a store ends its sweep, and none begins after it', async t => {
  const { dir, store, log } = build(t, { sweepDelayMs: NEVER_MS })
  const name = `.${uuidV7()}.part`
  put(dir, name)
  await store.open()
  await store.close()
  t.same([filesBelow(dir), log.lines], [[name], []])

  let searches = 0
  const late = build(t, {
    dir,
    sweepDelayMs: 1,
    fs: {
      opendir: async (path, options) => { searches++; return await nodeFs.opendir(path, options) },
      unlink: async path => { await nodeFs.unlink(path); closing = late.store.close() },
    },
  })
  let closing: Promise<void> | undefined
  await late.store.open()
  await closing
  t.equal(searches, 0)
})

t.test('the probe of the directory is private, never another\'s, and goes', async t => {
  const probes: unknown[] = []
  const open = (async (path: string, flags: string, mode: number) => {
    const handle = await nodeFs.open(path, flags, mode)
    if (flags === 'wx') probes.push([flags, statSync(path).mode & 0o777])
    return handle
  }) as unknown as typeof nodeFs.open
  const { dir, store } = build(t, { fs: { open } })
  await store.open()
  t.same(probes, [['wx', 0o600]])
  t.same(filesBelow(dir), [])
})

t.test('closing waits for what is under way, whatever it is, and nothing begins after it', async t => {
  const key = newKey()
  const tasks: Record<string, (store: ReturnType<typeof build>['store']) => Promise<unknown>> = {
    create: store => store.create(newKey()),
    keepReceipt: store => store.keepReceipt(newKey(), newReceipt(newKey(), 'b2')),
    setAside: store => store.setAside(key, 'because'),
    takeUp: store => store.takeUp(key),
    claim: store => store.claim(key),
    isClaimedElsewhere: store => store.isClaimedElsewhere(key),
  }
  for (const [name, task] of Object.entries(tasks)) {
    let isHeld = false
    let goOn = (): void => {}
    const held = new Promise<void>(resolve => { goOn = resolve })
    const holding = (call: 'mkdir' | 'lstat' | 'unlink' | 'open') => async (...values: unknown[]) => {
      if (isHeld) await held
      return await (nodeFs[call] as (...values: unknown[]) => Promise<unknown>)(...values)
    }
    const fs = { mkdir: holding('mkdir'), lstat: holding('lstat'), unlink: holding('unlink'), open: holding('open') } as unknown as Partial<typeof nodeFs>
    const { store } = build(t, { fs })
    await storeFile(store, key)
    isHeld = true
    let isDone = false
    const running = task(store).then(() => { isDone = true })
    let isClosed = false
    const closing = store.close().then(() => { isClosed = true; return isDone })
    for (let count = 0; count < 5; count++) await turn()
    t.notOk(isClosed, name)
    goOn()
    t.equal(await closing, true, `${name} ended before`)
    await running
    await t.rejects(task(store), { name: 'LocalStoreError', error_code: 'io_error' }, `${name} afterwards`)
  }
})

t.test('what fails under way is no failure of closing', async t => {
  const { store } = build(t, { fs: { lstat: (async () => { throw failure('EIO') }) as unknown as typeof nodeFs.lstat } })
  const failing = store.setAside(newKey(), 'because')
  failing.catch(() => {})
  await store.close()
  await t.rejects(failing, { name: 'LocalStoreError' })
})

t.test('a file has its own log where one is given, and the store\'s where not', async t => {
  const { dir, store, log } = build(t, { fs: { unlink: async () => { throw failure('EIO') } } })
  const own = recordingLog()
  await (await store.create(newKey(), { log: own })).discard()
  t.equal(own.lines.length, 1)
  t.equal(log.lines.length, 0)
  await (await store.create(newKey())).discard()
  t.equal(log.lines.length, 1)
  t.equal(filesBelow(dir).length, 2)
})

t.test('removing syncs the directory where there was something, be it only a note, and else not', async t => {
  let syncs = 0
  const open = (async (path: string, flags: string, mode: number) => {
    if (flags === 'r') syncs++
    return await nodeFs.open(path, flags, mode)
  }) as unknown as typeof nodeFs.open
  const { dir, store } = build(t, { fs: { open } })
  const key = newKey()
  for (const [name, count] of [[key, 1], [`${key}.receipt.json`, 1], [`${key}.set-aside.json`, 1], [join('tracks', 'other'), 0]] as const) {
    put(dir, name)
    syncs = 0
    await store.remove(key)
    t.equal(syncs, count, name)
  }
})
