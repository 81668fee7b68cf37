import nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { CleanupQueue } from '../../../../services/b2/cleanup/queue.ts'
import { Notes } from '../../../../services/b2/cleanup/notes.ts'
import type { Leftover } from '../../../../services/b2/cleanup/notes.ts'
import { companionKey } from '../../../../services/b2/object-receipt.ts'
import { uuidv7 } from '../../../../services/keys.ts'
import type { FileSystem } from '../../../../services/disk/file-system.ts'

const KEY = 'a.mp3'
const OBJECT = { kind: 'object', key: KEY } as const
const COMPANION = { kind: 'object', key: companionKey(KEY) } as const
const DOUBLES = { kind: 'doubles', key: KEY } as const
const OTHERS: Leftover[] = [{ kind: 'object', key: 'b.mp3' }, { kind: 'uploads', key: KEY }]

function setUp (t: Test, fs: Partial<FileSystem> = {}) {
  const dir = join(t.testdir(), '.leftovers')
  const disk = new Notes({ dir })
  const list = new CleanupQueue(new Notes({ dir, fs }), 'music', undefined)
  return {
    list,
    waiting: () => [...list.values()].map(({ leftover }) => leftover),
    noted: () => disk.readAtStart().map(({ leftover }) => leftover),
    async noteElsewhere (leftover: Leftover) { await disk.write({ id: uuidv7(), bucket: 'music', leftover, notedAt: 1_000 }) },
  }
}

function eio (): never {
  throw Object.assign(new Error('EIO'), { code: 'EIO' })
}

t.test('what was noted here is off the list at once, and then off the disk', async t => {
  const { list, waiting, noted } = setUp(t)
  for (const leftover of [OBJECT, COMPANION, ...OTHERS]) await list.write(list.add(leftover))
  const settled = list.settle(KEY, false, 'of-the-upload')
  const doubles = { ...DOUBLES, correlation_id: 'of-the-upload' }
  t.same(waiting(), [...OTHERS, doubles])
  t.equal(list.isForgotten(KEY), false)
  await settled
  t.same(noted(), [...OTHERS, doubles])
  t.same(waiting(), [...OTHERS, doubles])
})

t.test('what is written down just now does not stay there', async t => {
  const { list, noted } = setUp(t)
  const writing = list.write(list.add(OBJECT))
  await list.settle(KEY, false)
  t.equal(await writing, true)
  t.same(noted(), [DOUBLES])
})

t.test('what others noted is settled with it, before this process knew of it', async t => {
  const { list, waiting, noted, noteElsewhere } = setUp(t)
  for (const leftover of [OBJECT, COMPANION, ...OTHERS]) await noteElsewhere(leftover)
  await list.settle(KEY, false)
  t.same(waiting(), [...OTHERS, DOUBLES])
  t.same(noted(), [...OTHERS, DOUBLES])
})

t.test('where nothing was noted there is nothing to write, and doubles only where there may be some', async t => {
  const { list, waiting, noted } = setUp(t)
  await list.settle(KEY, false)
  t.same(waiting(), [])
  await list.settle(KEY, true)
  t.same(waiting(), [DOUBLES])
  t.same(noted(), [])
})

t.test('what somebody deleted stays on the list, here and elsewhere: it may have been this very moment', async t => {
  const { list, waiting, noted, noteElsewhere } = setUp(t)
  const [deleted, unclaimed] = [{ ...OBJECT, deleted: true }, { ...OBJECT, deleted: true, unclaimed: true }] as const
  await list.write(list.add(deleted))
  for (const leftover of [OBJECT, unclaimed]) await noteElsewhere(leftover)
  await list.settle(KEY, false)
  const byUnclaimed = (one: object): number => Number('unclaimed' in one) * 2 + Number('deleted' in one)
  for (const left of [waiting(), noted()]) t.same(left.sort((a, b) => byUnclaimed(a) - byUnclaimed(b)), [DOUBLES, deleted, unclaimed])
  t.same([list.isForgotten(KEY), list.mayReturn(KEY)], [true, true])
})

t.test('a wish that comes after it counts', async t => {
  const { list, waiting, noted } = setUp(t)
  const settled = list.settle(KEY, false)
  await list.write(list.add(OBJECT))
  await settled
  t.same(waiting(), [OBJECT])
  t.same(noted(), [OBJECT])
})

t.test('a look at the disk that began before it brings nothing back', async t => {
  let release = (): void => {}
  const held = new Promise<void>(resolve => { release = resolve })
  let begin = (): void => {}
  const begun = new Promise<void>(resolve => { begin = resolve })
  let reads = 0
  const readFile = async (...args: Parameters<typeof nodeFs.readFile>) => {
    const text = await nodeFs.readFile(...args)
    begin()
    if (++reads === 1) await held
    return text
  }
  const { list, waiting, noted, noteElsewhere } = setUp(t, { readFile: readFile as typeof nodeFs.readFile })
  await noteElsewhere(OBJECT)
  const refreshed = list.refresh()
  await begun
  const settled = list.settle(KEY, false)
  // What does not wait for its turn is over by then.
  for (let count = 0; count < 100; count++) await nodeFs.stat('.')
  release()
  await Promise.all([refreshed, settled])
  t.same(waiting(), [DOUBLES])
  t.same(noted(), [DOUBLES])
})

t.test('it fails where the disk does, and the next one is not kept by that', async t => {
  const broken = { readdir: true, unlink: true }
  const { list, noted, noteElsewhere } = setUp(t, {
    readdir: (async (path: string) => broken.readdir ? eio() : await nodeFs.readdir(path)) as never,
    unlink: async path => { broken.unlink ? eio() : await nodeFs.unlink(path) },
  })
  await noteElsewhere(OBJECT)
  await t.rejects(list.settle(KEY, false), { code: 'EIO' })
  broken.readdir = false
  await t.rejects(list.settle(KEY, false), { code: 'EIO' })
  t.same(noted(), [OBJECT, DOUBLES])
  broken.unlink = false
  await list.settle(KEY, false)
  t.same(noted(), [DOUBLES])
})
