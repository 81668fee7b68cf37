import { mkdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { createClaims, type ClaimsOptions } from '../../../../services/local/waiting/claims.ts'
import type { LiveFile } from '../../../../services/local/writing/heartbeat.ts'
import { filesBelow, newKey, ownersWith, recordingLog } from '../../../fixtures/local-files.ts'

function build (t: Test, options: Partial<ClaimsOptions> = {}) {
  const root = t.testdir({ tracks: {} })
  const key = newKey()
  const path = join(root, key.replace('/', '/.') + '.claim')
  const alive = new Map<string, LiveFile>()
  const heartbeat = {
    creating: async <T>(_path: string, create: () => Promise<T>) => await create(),
    add: (file: LiveFile) => { alive.set(file.path, file) },
    delete: (file: LiveFile) => { if (alive.get(file.path) === file) alive.delete(file.path) },
    has: (path: string) => alive.has(path),
  }
  const log = recordingLog()
  const claims = createClaims({ fs: nodeFs, root, heartbeat, owners: ownersWith(), delayMs: 20, signal: new AbortController().signal, log, ...options })
  t.teardown(() => claims.close())
  return { root, key, path, alive, log, claims }
}

const failure = (code: string): Error => Object.assign(new Error('no'), { code, syscall: 'open' })

/** The real file system, but that `before` or `after` happens around a call; what it throws is thrown. */
function fsWith (call: 'open' | 'lstat' | 'rename' | 'unlink', { before, after }: { before?: (path: string) => void, after?: (path: string, to: string) => void }) {
  const real = nodeFs[call] as (...values: unknown[]) => Promise<unknown>
  const wrapped = async (path: string, ...rest: unknown[]) => {
    before?.(path)
    const result = await real(path, ...rest)
    after?.(path, String(rest[0]))
    return result
  }
  return { ...nodeFs, [call]: wrapped } as typeof nodeFs
}

t.test('a key has one owner, who keeps its claim fresh until it is released', async t => {
  const { root, key, path, alive, claims } = build(t)
  const [claim, ...others] = await Promise.all([claims.claim(key), claims.claim(key), claims.claim(key)])
  t.same(others, [undefined, undefined])
  t.same([...alive.keys()], [path])
  utimesSync(path, 1_000, 1_000)
  await alive.get(path)!.touch()
  t.ok(statSync(path).mtimeMs > 1_000_000)

  await Promise.all([claim!.release(), claim!.release()])
  t.same([filesBelow(root), alive.size], [[], 0])
  t.ok(await claims.claim(key))
  await claim!.release()
  t.same(filesBelow(root).length, 1, 'a release counts once')
  t.equal(await claims.claim(key), undefined)
})

t.test('a claim that looks the same eleven times is taken over, and not before', async t => {
  let looks = 0
  let looksBefore = 0
  const watched = fsWith('lstat', { before: () => { looks++ } })
  const { rename } = fsWith('rename', { before: () => { looksBefore = looks } })
  const { root, key, path, alive, claims } = build(t, { fs: { ...watched, rename } })
  writeFileSync(path, '')
  const claim = await claims.claim(key)
  t.equal(looksBefore, 11)
  t.same([...alive.keys()], [path])
  t.equal(filesBelow(root).length, 1)
  await claim!.release()
  t.same(filesBelow(root), [])
})

for (const last of [2, 11]) {
  t.test(`a claim that looks different at look ${last} has an owner; one that is gone by then is free`, async t => {
    let looks = 0
    let happens = (): void => {}
    const fs = fsWith('lstat', { before: () => { if (++looks === last) happens() } })
    const { root, key, path, claims } = build(t, { fs })
    writeFileSync(path, '')
    happens = () => utimesSync(path, 1_000, 1_000)
    t.equal(await claims.claim(key), undefined)
    t.equal(looks, last)
    looks = 0
    happens = () => rmSync(path)
    const claim = await claims.claim(key)
    t.equal(looks, last)
    t.ok(claim)
    t.equal(filesBelow(root).length, 1)
  })
}

t.test('a claim whose owner says that it has it, or stands still, is left to it, and nobody waits', async t => {
  for (const inquiry of [(path: string) => ({ alive: new Set([path]) }), () => ({ isSilent: true })]) {
    let looks = 0
    const { key, path, claims } = build(t, {
      fs: fsWith('lstat', { before: () => { looks++ } }),
      owners: { ...ownersWith(), ask: async ([asked]) => await ownersWith(inquiry(asked!)).ask([]) },
      delayMs: 86_400_000,
    })
    writeFileSync(path, '')
    for (let time = 0; time < 2; time++) t.equal(await claims.claim(key), undefined)
    t.equal(looks, 2)
    t.equal(await claims.isClaimedElsewhere(key), true)
  }
})

t.test('a claim that may be somebody\'s who can\'t be asked is taken over once it has looked the same for as long as that one may stand still', async t => {
  let patienceMs = 86_400_000
  const { key, path, claims } = build(t, { owners: { ...ownersWith(), ask: async () => await ownersWith({ patienceMs }).ask([]) } })
  writeFileSync(path, '')
  for (let time = 0; time < 2; time++) t.equal(await claims.claim(key), undefined)
  utimesSync(path, 1_000, 1_000)
  patienceMs = 1
  t.equal(await claims.claim(key), undefined, 'it lived in between')
  const since = performance.now()
  while (performance.now() - since < 2);
  const claim = await claims.claim(key)
  t.ok(claim)
  await claim!.release()
})

t.test('who is stopped does not wait for another owner, and may ask again', async t => {
  const { key, path, claims } = build(t, { delayMs: 86_400_000 })
  writeFileSync(path, '')
  const stop = new AbortController()
  const claiming = claims.claim(key, stop.signal)
  stop.abort()
  t.equal(await claiming, undefined)
  rmSync(path)
  t.equal(await claims.claim(key, stop.signal), undefined, 'nor claim what is free')
  t.ok(await claims.claim(key))
})

t.test('who finds the claim gone, and made again by somebody else, twice, leaves it to them', async t => {
  let tries = 0
  const fs = fsWith('open', { before: () => { tries++; throw failure('EEXIST') } })
  const { key, claims } = build(t, { fs })
  t.equal(await claims.claim(key), undefined)
  t.equal(tries, 2)
})

t.test('of two that take over at once, the last to rename has it', async t => {
  const { open, openHandles } = countingOpen()
  const fs = fsWith('rename', { after: (_from, to) => { rmSync(to); writeFileSync(to, 'of the other') } })
  const { root, key, path, alive, log, claims } = build(t, { fs: { ...fs, open } })
  writeFileSync(path, '')
  t.equal(await claims.claim(key), undefined)
  t.same(filesBelow(root), [path.slice(root.length + 1)])
  t.equal(statSync(path).size, 12)
  t.same([openHandles(), alive.size, log.lines], [0, 0, []])
  t.equal(await claims.isClaimedElsewhere(key), true)
})

t.test('a take-over that fails is an error that leaves the claim as it was, and can be tried again', async t => {
  const { open, openHandles } = countingOpen()
  const fs = fsWith('rename', { before: () => { throw failure('EIO') } })
  const { root, key, path, log, claims } = build(t, { fs: { ...fs, open } })
  writeFileSync(path, '')
  for (let time = 0; time < 2; time++) {
    await t.rejects(claims.claim(key), { name: 'LocalStoreError', error_code: 'io_error' })
    t.same(filesBelow(root), [path.slice(root.length + 1)])
  }
  t.same([openHandles(), log.lines], [0, []])
})

t.test('a claim that can\'t be made, or looked at, is an error; where there is no directory there is nothing to claim', async t => {
  for (const fs of [fsWith('open', { before: () => { throw failure('EACCES') } }), fsWith('lstat', { before: () => { throw failure('EACCES') } })]) {
    const { key, path, claims } = build(t, { fs })
    writeFileSync(path, '')
    for (let time = 0; time < 2; time++) await t.rejects(claims.claim(key), { name: 'LocalStoreError', error_code: 'permission_denied' })
  }
  const { root, key, claims } = build(t)
  rmSync(join(root, 'tracks'), { recursive: true })
  t.equal(await claims.claim(key), undefined)
  mkdirSync(join(root, 'tracks'))
  t.ok(await claims.claim(key), 'until there is')
  await t.rejects(claims.claim('song.mp3'), TypeError)
})

t.test('where the disk is too full for it, a claim is good for this process alone', async t => {
  for (const code of ['ENOSPC', 'EDQUOT']) {
    const { root, key, alive, claims } = build(t, { fs: fsWith('open', { before: () => { throw failure(code) } }) })
    const claim = await claims.claim(key)
    t.ok(claim)
    t.equal(await claims.claim(key), undefined)
    t.same([filesBelow(root), alive.size], [[], 0])
    await claim!.release()
    t.ok(await claims.claim(key))
  }
})

t.test('an owner whose claim was taken over, or is gone, removes nothing of the other\'s', async t => {
  const { root, key, path, log, claims } = build(t)
  const claim = await claims.claim(key)
  rmSync(path)
  writeFileSync(path, '')
  await claim!.release()
  t.equal(filesBelow(root).length, 1)
  rmSync(path)
  const gone = await claims.claim(key)
  rmSync(path)
  await gone!.release()
  t.same(log.lines, [])
})

t.test('what can\'t be removed or closed is told, and release does not reject', async t => {
  const unlinkable = build(t, { fs: fsWith('unlink', { before: () => { throw failure('EIO') } }) })
  await (await unlinkable.claims.claim(unlinkable.key))!.release()
  t.match(unlinkable.log.lines, [{ level: 'warn', facts: { err: { code: 'EIO' }, claim: unlinkable.path } }])
  rmSync(unlinkable.path)
  t.ok(await unlinkable.claims.claim(unlinkable.key), 'and the key is free')

  const { open } = countingOpen(failure('EIO'))
  const unclosable = build(t, { fs: { ...nodeFs, open } })
  await (await unclosable.claims.claim(unclosable.key))!.release()
  t.match(unclosable.log.lines, [{ level: 'warn', facts: { err: { code: 'EIO' }, claim: unclosable.path } }])
})

t.test('others\' claims are told from our own', async t => {
  const { key, path, claims } = build(t)
  t.equal(await claims.isClaimedElsewhere(key), false)
  const claim = await claims.claim(key)
  t.equal(await claims.isClaimedElsewhere(key), false)
  await claim!.release()
  writeFileSync(path, '')
  t.equal(await claims.isClaimedElsewhere(key), true)
  await t.rejects(claims.isClaimedElsewhere('song.mp3'), TypeError)
  const blind = build(t, { fs: fsWith('lstat', { before: () => { throw failure('EIO') } }) })
  await t.rejects(blind.claims.isClaimedElsewhere(key), { name: 'LocalStoreError', error_code: 'io_error' })
})

t.test('a signal ends the waiting, also that after a take-over, and nothing is claimed any more', async t => {
  const waiting = new AbortController()
  const first = build(t, { signal: waiting.signal, delayMs: 3_600_000, fs: fsWith('lstat', { after: () => waiting.abort() }) })
  writeFileSync(first.path, '')
  t.equal(await first.claims.claim(first.key), undefined)
  t.equal(filesBelow(first.root).length, 1, 'what is another\'s stays')
  rmSync(first.path)
  t.equal(await first.claims.claim(first.key), undefined)
  t.same(filesBelow(first.root), [])

  const takingOver = new AbortController()
  const second = build(t, { signal: takingOver.signal, fs: fsWith('rename', { after: () => takingOver.abort() }) })
  writeFileSync(second.path, '')
  t.equal(await second.claims.claim(second.key), undefined)
  t.same([filesBelow(second.root), second.log.lines], [[], []])
})

t.test('closing releases all claims', async t => {
  const { root, key, alive, claims } = build(t)
  t.ok(await claims.claim(key))
  t.ok(await claims.claim(newKey()))
  await claims.close()
  t.same([filesBelow(root), alive.size], [[], 0])
})

/** Real files, how many of them are open, and perhaps an error when one is closed. */
function countingOpen (closeError?: Error) {
  let count = 0
  const open: typeof nodeFs.open = async (...values) => {
    const handle = await nodeFs.open(...values)
    count++
    const close = handle.close.bind(handle)
    return Object.assign(handle, {
      async close () {
        count--
        await close()
        if (closeError !== undefined) throw closeError
      },
    })
  }
  return { open, openHandles: () => count }
}
