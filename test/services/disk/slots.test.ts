import nodeFs from 'node:fs/promises'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { boundedFileSystem, patient } from '../../../services/disk/bounded-file-system.ts'
import { DiskSlots } from '../../../services/disk/slots.ts'
import type { DiskUse } from '../../../services/disk/slots.ts'
import { DiskTimeoutError } from '../../../services/disk/errors.ts'

/** Operations that return when they are told to. */
function build (threads?: number) {
  const slots = new DiskSlots(threads)
  const begun: string[] = []
  const ends = new Map<string, () => void>()
  const run = (use: DiskUse, name: string, { deadlineMs = 60_000, isPatient = false } = {}): Promise<string> =>
    slots.run({ use, call: 'read', deadlineMs, isPatient }, () => {
      begun.push(name)
      return new Promise<string>(resolve => ends.set(name, () => resolve(name)))
    })
  return { slots, begun, run, end: (name: string) => ends.get(name)!() }
}

t.test('one thread of the pool stays free, and reads leave one more to the others', async t => {
  const { slots, begun, run, end } = build()
  const all = [run('read', 'r1'), run('read', 'r2'), run('read', 'r3'), run('write', 'w1'), run('write', 'w2'), run('upkeep', 'u1'), run('status', 's1')]
  await wait(0)
  t.same(begun, ['r1', 'r2', 'w1'])
  t.equal(slots.running, 3)
  end('r1')
  await wait(0)
  t.same(begun.slice(3), ['s1'], 'the status comes first')
  for (const name of ['r2', 'w1', 's1']) end(name)
  await wait(0)
  t.same(begun.slice(4).sort(), ['r3', 'u1', 'w2'])
  for (const name of begun.slice(4)) end(name)
  await Promise.all(all)
  t.equal(slots.running, 0)
  t.equal(slots.overdue, 0)
})

t.test('a pool of one thread still works', async t => {
  const { begun, run, end } = build(1)
  const both = [run('read', 'a'), run('write', 'b')]
  await wait(0)
  t.same(begun, ['a'])
  end('a')
  await wait(0)
  end('b')
  t.same(await Promise.all(both), ['a', 'b'])
})

// The deadlines alone keep no process alive, and what hangs here does not either.
const alive = setInterval(() => {}, 1_000)
t.teardown(() => { clearInterval(alive) })

t.test('an overdue operation is an error, keeps its slot until it returns, and those behind fail at once when no other may return', async t => {
  const { slots, begun, run, end } = build()
  const [first, second] = [run('read', 'r1', { deadlineMs: 10 }), run('read', 'r2', { deadlineMs: 30 })]
  const third = run('read', 'r3')
  await t.rejects(first, { name: 'DiskTimeoutError', code: 'ETIMEDOUT', syscall: 'read', message: 'it did not answer within 10 ms' })
  t.same(begun, ['r1', 'r2'], 'the second may still return')
  await Promise.all([t.rejects(second), t.rejects(third, { message: 'it does not answer' })])
  await t.rejects(run('read', 'r4'), { message: 'it does not answer' })
  t.equal(slots.overdue, 2)
  const write = run('write', 'w1')
  await wait(0)
  end('w1')
  t.equal(await write, 'w1', 'the others go on')
  const late = run('read', 'r5', { isPatient: true })
  end('r1')
  await wait(0)
  end('r5')
  t.equal(await late, 'r5', 'who is patient gets the slot')
  t.equal(slots.overdue, 1)
  end('r2')
})

t.test('what comes late is taken back: a file that was created is removed, one that was opened is closed', async t => {
  const dir = t.testdir()
  let go = (): void => {}
  let closed = 0
  const fs = {
    ...nodeFs,
    async open (...values: Parameters<typeof nodeFs.open>) {
      await new Promise<void>(resolve => { go = resolve })
      const handle = await nodeFs.open(...values)
      const close = handle.close.bind(handle)
      return Object.assign(handle, { async close () { closed++; await close() } })
    },
  }
  const bounded = boundedFileSystem({ fs, slots: new DiskSlots(), use: 'write', operationMs: 20 })
  const path = join(dir, 'new')
  const settled = async (flags: string): Promise<void> => {
    const error = await bounded.open(path, flags).then(() => undefined, error => error)
    t.type(error, DiskTimeoutError)
    go()
    await error.settled
  }
  await settled('wx')
  t.notOk(existsSync(path))
  t.equal(closed, 1)
  writeFileSync(path, 'another\'s')
  await settled('r')
  t.ok(existsSync(path))
  t.equal(closed, 2)
})

t.test('a file whose operation hangs is closed when that returns, and not before', async t => {
  const path = join(t.testdir({ file: 'content' }), 'file')
  let go = (): void => {}
  const fs = {
    ...nodeFs,
    async open (...values: Parameters<typeof nodeFs.open>) {
      const handle = await nodeFs.open(...values)
      return Object.assign(handle, { sync: async () => { await new Promise<void>(resolve => { go = resolve }) } })
    },
  }
  const slots = new DiskSlots()
  const file = await boundedFileSystem({ fs, slots, use: 'write', operationMs: 20, longMs: 20 }).open(path, 'r+')
  const syncing = file.sync()
  await Promise.all([t.rejects(syncing, { name: 'DiskTimeoutError', message: 'it did not answer within 20 ms' }), file.close()])
  t.not(file.fd, -1)
  go()
  while (slots.running > 0 || file.fd !== -1) await wait(1)
  t.pass('closed')
})

t.test('streams, listings and patience go through it, too', async t => {
  const dir = t.testdir({ file: 'a content', sub: {} })
  const fs = boundedFileSystem({ fs: nodeFs, slots: new DiskSlots(), use: 'read' })
  const read = async (range: { start?: number, end?: number }): Promise<string> => {
    const file = await fs.open(join(dir, 'file'), 'r')
    const text = (await file.createReadStream(range).toArray()).join('')
    t.equal(file.fd, -1)
    return text
  }
  t.equal(await read({}), 'a content')
  t.equal(await read({ start: 2, end: 4 }), 'con')
  const names: string[] = []
  for await (const entry of await fs.opendir(dir)) names.push(entry.name)
  t.same(names.sort(), ['file', 'sub'])
  for (let count = 0; count < 600; count++) mkdirSync(join(dir, 'sub', String(count)))
  let seen = 0
  for await (const entry of await fs.opendir(join(dir, 'sub'))) {
    if (entry.isDirectory() && ++seen === 500) break
  }
  t.equal(seen, 500)
  t.not(patient(fs), fs)
  t.equal(patient(nodeFs), nodeFs)
  await patient(fs).unlink(join(dir, 'file'))
  t.notOk(existsSync(join(dir, 'file')))
})
