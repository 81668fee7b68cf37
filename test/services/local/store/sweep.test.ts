import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { bundle } from '../../../../scripts/bundle.ts'
import { createLocalStore } from '../../../../services/local/store.ts'
import { filesBelow, newKey, recordingLog, sweep } from '../../../fixtures/local-files.ts'

// The sweep's own timer does not keep a process alive.
const alive = setInterval(() => {}, 10_000)
t.teardown(() => clearInterval(alive))

t.test('open part files are kept fresh, and only those', async t => {
  const touches: string[] = []
  let touched: () => void = () => {}
  const open: typeof nodeFs.open = async (path, flags, mode) => {
    const handle = await nodeFs.open(path, flags, mode)
    const utimes = handle.utimes.bind(handle)
    return Object.assign(handle, {
      async utimes (...times: Parameters<typeof utimes>) {
        touches.push(String(path))
        await utimes(...times)
        touched()
      }
    })
  }
  const dir = t.testdir()
  const store = createLocalStore({ dir, fs: { open } })
  t.teardown(() => store.close())
  const [idle, stored] = [newKey(), newKey()]
  const writer = await store.create(idle)
  await (await store.create(stored)).commit({})
  const part = join(dir, 'tracks', `.${idle.slice('tracks/'.length)}.part`)
  utimesSync(part, 1_000, 1_000)
  touches.length = 0
  await new Promise<void>(resolve => { touched = resolve })
  t.same(touches, [part])
  t.ok((await nodeFs.stat(part)).mtimeMs > 1_000_000)
  await writer.discard()
})

function start (t: Test, dir: string, role: 'doomed' | 'living') {
  const child = fork(bundle('test/fixtures/local-store-process.ts'), [dir, role], { execArgv: [] })
  t.teardown(() => { child.kill('SIGKILL') })
  const message = async () => (await once(child, 'message'))[0] as Record<string, unknown>
  return { child, message }
}

t.test('after a kill the part files go; whole files and those of living processes stay', async t => {
  const dir = join(t.testdir(), 'storage')
  const doomed = start(t, dir, 'doomed')
  const living = start(t, dir, 'living')
  const [left, { key }] = await Promise.all([doomed.message(), living.message()])
  const { whole, keys } = left as { whole: string, keys: string[] }
  const exited = once(doomed.child, 'exit')
  doomed.child.kill('SIGKILL')
  await exited
  const part = (key: string) => key.replace('/', '/.') + '.part'
  const kept = [whole, `${whole}.receipt.json`, part(String(key))]
  t.same(filesBelow(dir), [...kept, ...keys.map(part)].sort())

  const log = recordingLog()
  const store = createLocalStore({ dir, log })
  t.teardown(() => store.close())
  await store.open()
  t.match(await log.line(/leftovers/), { facts: { partFilesRemoved: 2, receiptsRemoved: 0 } })
  t.same(filesBelow(dir), kept.sort())
  t.same(JSON.parse(readFileSync(join(dir, `${whole}.receipt.json`), 'utf8')), { whole: true })

  const answer = living.message()
  living.child.send('go on')
  t.same(await answer, { location: store.location(String(key)) })
  t.equal(readFileSync(store.location(String(key)), 'utf8'), 'first second')
})

/** Resolves at the so-manieth look of a sweep at the file. */
function lookAt (path: string, count: number) {
  let looks = 0
  let seen = (): void => {}
  const looked = new Promise<void>(resolve => { seen = resolve })
  const lstat = (async (of: string, options: object) => {
    if (of === path && ++looks === count) seen()
    return await nodeFs.lstat(of, options)
  }) as typeof nodeFs.lstat
  return { lstat, looked }
}

for (const end of ['goes on', 'is killed']) {
  t.test(`a process that stands still keeps its files, however often others look, until it ${end}`, { skip: process.platform !== 'linux' && 'only Linux tells a paused process from a dead one' }, async t => {
    const dir = join(t.testdir(), 'storage')
    const { child, message } = start(t, dir, 'living')
    const { key } = await message()
    const location = join(dir, String(key))
    const part = location.replace(/([^/]+)$/, '.$1.part')
    child.kill('SIGSTOP')
    const { lstat, looked } = lookAt(part, 4)
    const log = recordingLog()
    const store = createLocalStore({ dir, log, sweepDelayMs: 20, fs: { lstat } })
    t.teardown(() => store.close())
    await store.open()
    const claimed = newKey()
    t.ok(await store.claim(claimed), 'others go on')
    await looked
    t.same([filesBelow(dir).includes(part.slice(dir.length + 1)), log.lines], [true, []])
    if (end === 'is killed') {
      child.kill('SIGKILL')
      t.match(await log.line(/leftovers/), { facts: { partFilesRemoved: 1 } })
      t.notOk(filesBelow(dir).includes(part.slice(dir.length + 1)))
    } else {
      const answer = message()
      child.kill('SIGCONT')
      child.send('go on')
      t.same(await answer, { location })
      t.equal(readFileSync(location, 'utf8'), 'first second')
    }
    await store.close()
    t.equal(existsSync(join(dir, '.owners')), end === 'goes on', 'but for a process that was not closed nobody is on the register')
  })
}

t.test('a process whose disk stands still keeps its files', { skip: process.platform !== 'linux' && 'only Linux has the sockets' }, async t => {
  const dir = join(t.testdir(), 'storage')
  let goOn = (): void => {}
  let isHanging = false
  const hung = new Promise<void>(resolve => { goOn = resolve })
  const open = (async (path: string, ...rest: []) => {
    const handle = await nodeFs.open(path, ...rest)
    const hang = <Values extends unknown[], T>(call: (...values: Values) => Promise<T>) => async (...values: Values) => {
      if (isHanging) await hung
      return await call.apply(handle, values)
    }
    return Object.assign(handle, { utimes: hang(handle.utimes), write: hang(handle.write as never), sync: hang(handle.sync) })
  }) as unknown as typeof nodeFs.open
  const slow = createLocalStore({ dir, fs: { open } })
  t.teardown(() => slow.close())
  const key = newKey()
  const writer = await slow.create(key)
  isHanging = true
  const writing = writer.write(Buffer.from('late'))
  const part = join(dir, key.replace('/', '/.') + '.part')
  const stale = join(dir, `.${newKey('').slice('tracks/'.length)}.part`)
  writeFileSync(stale, '')
  const log = recordingLog()
  const other = createLocalStore({ dir, log, sweepDelayMs: 20 })
  t.teardown(() => other.close())
  await other.open()
  t.match(await log.line(/leftovers/), { facts: { partFilesRemoved: 1 } }, 'what nobody has goes at once')
  t.same(filesBelow(dir), [part.slice(dir.length + 1)])
  goOn()
  await writing
  t.equal(readFileSync(await writer.commit({}), 'utf8'), 'late')
})

t.test('a process whose file was taken away all the same reports a failure, never a stored file', { skip: process.platform === 'win32' }, async t => {
  const dir = join(t.testdir(), 'storage')
  const { child, message } = start(t, dir, 'living')
  await message()
  child.kill('SIGSTOP')
  // Once is not enough where the stop and a last heartbeat fall between the looks.
  while ((await sweep(dir)).partFilesRemoved === 0);
  const answer = message()
  child.kill('SIGCONT')
  child.send('go on')
  t.same(await answer, { error: 'io_error', code: 'ENOENT' })
  t.same(filesBelow(dir), [])
})
