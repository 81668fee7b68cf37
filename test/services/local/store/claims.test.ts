import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import nodeFs from 'node:fs/promises'
import { dirname, join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { bundle } from '../../../../scripts/bundle.ts'
import { createLocalStore, type LocalStoreOptions } from '../../../../services/local/store.ts'
import { filesBelow, newKey, recordingLog } from '../../../fixtures/local-files.ts'

// The sweep's own timer does not keep a process alive.
const alive = setInterval(() => {}, 10_000)
t.teardown(() => clearInterval(alive))

/** Far longer than any test: nobody is taken over. */
const NEVER_MS = 3_600_000

function build (t: Test, options: Partial<LocalStoreOptions> = {}) {
  const dir = options.dir ?? join(t.testdir(), 'storage')
  const log = recordingLog()
  const store = createLocalStore({ dir, log, claimDelayMs: NEVER_MS, sweepDelayMs: NEVER_MS, ...options })
  t.teardown(() => store.close())
  return { dir, store, log }
}

function nameOf (key: string): string {
  return key.replace('/', '/.') + '.claim'
}

/** The claim of a process that died. */
function leaveClaim (dir: string, key: string): string {
  const path = join(dir, nameOf(key))
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, '')
  return path
}

function refuse (call: 'open' | 'unlink' | 'rename', code: string, pattern: RegExp) {
  const real = nodeFs[call] as (...values: unknown[]) => Promise<unknown>
  const faulty = async (path: string, ...rest: unknown[]) => {
    if (pattern.test(path)) throw Object.assign(new Error('no'), { code, syscall: call })
    return await real(path, ...rest)
  }
  return { [call]: faulty } as Partial<typeof nodeFs>
}

t.test('a key has one owner until it is released', async t => {
  const { dir, store } = build(t)
  const [key, other] = [newKey(), newKey()]
  mkdirSync(join(dir, 'tracks'), { recursive: true })
  const claims = await Promise.all([store.claim(key), store.claim(key), store.claim(key)])
  t.same(claims.map(claim => claim !== undefined), [true, false, false])
  t.ok(await store.claim(other), 'of other keys, too')
  t.same(filesBelow(dir), [nameOf(key), nameOf(other)].sort())

  await Promise.all([claims[0]!.release(), claims[0]!.release()])
  t.same(filesBelow(dir), [nameOf(other)])
  const again = await store.claim(key)
  await claims[0]!.release()
  t.equal(await store.claim(key), undefined, 'a release counts once')
  await again!.release()
})

t.test('a claim that is kept fresh is not taken over', async t => {
  const { dir, store } = build(t)
  const other = build(t, { dir, claimDelayMs: 3_000 }).store
  const key = newKey()
  mkdirSync(join(dir, 'tracks'), { recursive: true })
  const claim = await store.claim(key)
  // What counts is the change, not the clock.
  utimesSync(join(dir, nameOf(key)), 1_000, 1_000)
  t.equal(await other.claim(key), undefined)
  await claim!.release()
  t.ok(await other.claim(key))
})

t.test('a claim that looks the same for a while is taken over, whatever its time', async t => {
  for (const time of [0, Date.now() / 1_000, 4_000_000_000]) {
    const { dir, store } = build(t, { claimDelayMs: 50 })
    const key = newKey()
    const path = leaveClaim(dir, key)
    utimesSync(path, time, time)
    const claim = await store.claim(key)
    t.ok(claim)
    t.same(filesBelow(dir), [nameOf(key)])
    t.equal(await build(t, { dir, claimDelayMs: 3_000 }).store.claim(key), undefined, 'and is kept fresh from then on')
    await claim!.release()
    t.same(filesBelow(dir), [])
  }
})

t.test('of many that find a claim dead at once, one takes it over', async t => {
  const dir = join(t.testdir(), 'storage')
  const stores = Array.from({ length: 8 }, () => build(t, { dir, claimDelayMs: 2_000 }).store)
  await Promise.all(Array.from({ length: 4 }, async () => {
    const key = newKey()
    leaveClaim(dir, key)
    const claims = await Promise.all(stores.map(store => store.claim(key)))
    t.equal(claims.filter(claim => claim !== undefined).length, 1)
    t.ok(filesBelow(dir).includes(nameOf(key)))
    for (const claim of claims) await claim?.release()
  }))
  t.same(filesBelow(dir), [])
})

t.test('a claim that is released or swept while somebody waits for it is free', async t => {
  const { dir, store } = build(t, {
    claimDelayMs: 1_000,
    fs: {
      lstat: (async (path: string, options: object) => {
        const stats = await nodeFs.lstat(path, options)
        if (path.endsWith('.claim')) rmSync(path)
        return stats
      }) as typeof nodeFs.lstat
    }
  })
  const key = newKey()
  leaveClaim(dir, key)
  t.ok(await store.claim(key))
})

t.test('an owner that was taken over does not remove the new owner\'s claim', async t => {
  const { dir, store } = build(t)
  const key = newKey()
  mkdirSync(join(dir, 'tracks'), { recursive: true })
  const claim = await store.claim(key)
  // As a process does that finds it dead.
  writeFileSync(join(dir, 'new'), '')
  await nodeFs.rename(join(dir, 'new'), join(dir, nameOf(key)))
  await claim!.release()
  t.same(filesBelow(dir), [nameOf(key)])
})

t.test('after a kill the claim is taken over, or swept at the next start', async t => {
  const { dir, store } = build(t, { claimDelayMs: 3_000 })
  const key = newKey()
  mkdirSync(join(dir, 'tracks'), { recursive: true })
  const child = fork(bundle('test/fixtures/local-store-process.ts'), [dir, 'claiming', key], { execArgv: [] })
  t.teardown(() => { child.kill('SIGKILL') })
  t.same((await once(child, 'message'))[0], { claimed: true })
  t.equal(await store.claim(key), undefined, 'while it lives')
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
  t.same(filesBelow(dir), [nameOf(key)])
  const claim = await store.claim(key)
  t.ok(claim)

  const left = newKey()
  leaveClaim(dir, left)
  const next = build(t, { dir, sweepDelayMs: 5_000 })
  await next.store.open()
  t.match(await next.log.line(/leftovers/), { facts: { partFilesRemoved: 1 } })
  t.same(filesBelow(dir), [nameOf(key)], 'but not one that is kept fresh')
  await claim!.release()
})

t.test('a sweep in the same process leaves its claims, those taken over included', async t => {
  const { dir, store, log } = build(t, { claimDelayMs: 50, sweepDelayMs: 10 })
  const [first, second, dead] = [newKey(), newKey(), newKey()]
  leaveClaim(dir, second)
  t.ok(await store.claim(first))
  t.ok(await store.claim(second))
  leaveClaim(dir, dead)
  await store.open()
  t.match(await log.line(/leftovers/), { facts: { partFilesRemoved: 1 } })
  t.same(filesBelow(dir), [nameOf(first), nameOf(second)].sort())
})

t.test('on a full disk files can still be claimed, so that they can leave it', async t => {
  for (const code of ['ENOSPC', 'EDQUOT']) {
    const { dir, store } = build(t, { fs: refuse('open', code, /claim/) })
    const key = newKey()
    mkdirSync(join(dir, 'tracks'), { recursive: true })
    const claim = await store.claim(key)
    t.ok(claim)
    t.same(filesBelow(dir), [])
    t.equal(await store.claim(key), undefined, 'once in this process')
    await claim!.release()
    t.ok(await store.claim(key))
  }
  const { dir, store } = build(t, { claimDelayMs: 50, fs: refuse('open', 'ENOSPC', /claim-/) })
  const key = newKey()
  leaveClaim(dir, key)
  t.ok(await store.claim(key), 'also past a dead claim')
})

t.test('a claim that cannot be made is an error, and can be tried again', async t => {
  const { dir, store } = build(t, { fs: refuse('open', 'EACCES', /claim/) })
  const key = newKey()
  mkdirSync(join(dir, 'tracks'), { recursive: true })
  for (let n = 0; n < 2; n++) await t.rejects(store.claim(key), { name: 'LocalStoreError', error_code: 'permission_denied' })

  const stuck = build(t, { dir, claimDelayMs: 50, fs: refuse('rename', 'EIO', /claim-/) }).store
  leaveClaim(dir, key)
  for (let n = 0; n < 2; n++) {
    await t.rejects(stuck.claim(key), { name: 'LocalStoreError', error_code: 'io_error' })
    t.same(filesBelow(dir), [nameOf(key)])
  }
})

t.test('a claim that cannot be removed is told, and release does not reject', async t => {
  const { dir, store, log } = build(t, { fs: refuse('unlink', 'EIO', /claim/) })
  const key = newKey()
  mkdirSync(join(dir, 'tracks'), { recursive: true })
  await (await store.claim(key))!.release()
  t.match(log.lines, [{ level: 'warn', message: /claim/ }])
})

t.test('where there is no directory there is nothing to claim', async t => {
  const { dir, store } = build(t)
  t.equal(await store.claim(newKey()), undefined)
  t.same(filesBelow(dir), [])
})

t.test('closing releases all claims and ends the waiting for others', async t => {
  const { dir, store } = build(t)
  const [held, foreign] = [newKey(), newKey()]
  leaveClaim(dir, foreign)
  t.ok(await store.claim(held))
  const waiting = store.claim(foreign)
  await store.close()
  t.equal(await waiting, undefined)
  t.same(filesBelow(dir), [nameOf(foreign)])
  await t.rejects(store.claim(held), { name: 'LocalStoreError' })
})
