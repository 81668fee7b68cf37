import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, utimesSync } from 'node:fs'
import nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { bundle } from '../../scripts/bundle.ts'
import { createLocalStore } from '../../services/local-store.ts'
import { sweepLeftovers } from '../../services/local-sweep.ts'
import { filesBelow, newKey, recordingLog } from '../fixtures/local-files.ts'

// The sweep's own timer does not keep a process alive.
const alive = setInterval(() => {}, 10_000)
t.teardown(() => clearInterval(alive))

function sweep (root: string) {
  return sweepLeftovers({ fs: nodeFs, root, delayMs: 1, signal: new AbortController().signal, isOpenHere: () => false, log: recordingLog() })
}

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
  t.same(await store.readReceipt(whole), { whole: true })

  const answer = living.message()
  living.child.send('go on')
  t.same(await answer, { location: store.location(String(key)) })
  t.equal(readFileSync(store.location(String(key)), 'utf8'), 'first second')
})

t.test('a process that was paused for too long reports a failure, never a stored file', { skip: process.platform === 'win32' }, async t => {
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
