import nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { CleanupQueue } from '../../../../services/b2/cleanup/queue.ts'
import type { Waiting } from '../../../../services/b2/cleanup/queue.ts'
import { Notes } from '../../../../services/b2/cleanup/notes.ts'
import type { Leftover, Note } from '../../../../services/b2/cleanup/notes.ts'
import { uuidv7 } from '../../../../services/keys.ts'
import type { FileSystem } from '../../../../services/disk/file-system.ts'

const OBJECT = { kind: 'object', key: 'a.mp3' } as const
const DOUBLES = { kind: 'doubles', key: 'a.mp3' } as const

interface Stage {
  disk: Notes
  list: CleanupQueue
  told: object[]
  /** What is on the list, in its order. */
  waiting (): Leftover[]
  /** What is on disk, in its order. */
  noted (): Leftover[]
  /** Notes something as another process does. */
  noteElsewhere (leftover: Leftover, bucket?: string): Promise<Note>
  /** Another list on the directory, as of another process or the next one. */
  another (fs?: Partial<FileSystem>): CleanupQueue
}

function setUp (t: Test, fs: Partial<FileSystem> = {}): Stage {
  const dir = join(t.testdir(), '.leftovers')
  const told: object[] = []
  const log = { info: () => {}, warn: () => {}, error: (fields: object) => { told.push(fields) } }
  const disk = new Notes({ dir })
  const another = (fs: Partial<FileSystem> = {}): CleanupQueue => new CleanupQueue(new Notes({ dir, fs }), 'music', log)
  const list = another(fs)
  return {
    disk,
    list,
    told,
    another,
    waiting: () => [...list.values()].map(({ leftover }) => leftover),
    noted: () => disk.readAtStart().map(({ leftover }) => leftover),
    async noteElsewhere (leftover, bucket = 'music') {
      const note = { id: uuidv7(), bucket, leftover, notedAt: 1_000 }
      await disk.write(note)
      return note
    },
  }
}

/** A function of the file system that fails, with the code, as long as it is told to. */
function failing <Name extends 'readdir' | 'readFile' | 'open' | 'unlink'> (name: Name, code = 'EIO') {
  const trouble = { isOver: false, calls: 0 }
  const fail = async (...args: never[]): Promise<unknown> => {
    trouble.calls++
    if (!trouble.isOver) throw Object.assign(new Error(code), { code })
    return await (nodeFs[name] as (...args: never[]) => Promise<unknown>)(...args)
  }
  return { trouble, fs: { [name]: fail } as Partial<FileSystem> }
}

t.test('it is in the order of what was added and put back', async t => {
  const { list, waiting } = setUp(t)
  const [first, second] = [list.add(OBJECT), list.add({ kind: 'uploads', key: 'b.mp3' })]
  t.match(first, { bucket: 'music', leftover: OBJECT, underWay: false, wanted: false, told: undefined, isForeign: false, isWritten: false, writing: undefined })
  t.ok(Math.abs(Date.now() - first.notedAt) < 60_000)
  list.putBack(first)
  t.same(waiting(), [second.leftover, OBJECT])
  await list.done(second)
  list.putBack(second)
  t.same(waiting(), [OBJECT], 'what is done does not come back')
  t.equal(list.size, 1)
})

t.test('the same wish is not taken on twice, where what waits will see to it', async t => {
  const { list, noteElsewhere } = setUp(t)
  for (const leftover of [OBJECT, DOUBLES]) {
    const entry = list.add(leftover)
    t.equal(list.add({ ...leftover, correlation_id: 'another' }), entry)
    t.not(list.add({ ...leftover, key: 'other.mp3' }), entry)
    entry.underWay = true
    t.not(list.add(leftover), entry, 'one that is under way may have looked at B2 before')
  }
  for (const leftover of [{ kind: 'uploads', key: 'a.mp3' }, { kind: 'upload', key: 'a.mp3', uploadId: '1' }] as const) t.not(list.add(leftover), list.add(leftover))
  await noteElsewhere({ kind: 'object', key: 'foreign.mp3' })
  await list.refresh()
  const before = list.size
  list.add({ kind: 'object', key: 'foreign.mp3' })
  t.equal(list.size, before + 1, 'one from elsewhere may be settled just now')
})

t.test('what is done goes from the disk, too, also where it is written just now', async t => {
  const { list, noted } = setUp(t)
  const [kept, written, writing] = [list.add(DOUBLES), list.add(OBJECT), list.add({ kind: 'uploads', key: 'b.mp3' })]
  t.equal(await list.write(written), true)
  t.equal(await list.write(written), true, 'again')
  await list.write(kept)
  const both = Promise.all([list.write(writing), list.write(writing)])
  await list.done(writing)
  t.same(await both, [true, true])
  await list.done(written)
  t.same(noted(), [DOUBLES])
})

t.test('a list without a disk is as good as memory', async t => {
  const list = new CleanupQueue(undefined, 'music', undefined)
  const entry = list.add(OBJECT)
  t.equal(await list.write(entry), false)
  await list.writeAll()
  await list.refresh()
  t.equal(await list.stands(entry), true)
  t.equal(list.isForgotten('a.mp3'), true)
  await list.settle('a.mp3', false, 'of-the-upload')
  t.equal(list.isForgotten('a.mp3'), false)
  t.same([...list.values()].map(({ leftover }) => leftover), [{ ...DOUBLES, correlation_id: 'of-the-upload' }])
  t.equal(await list.stands(entry), false)
  await list.done([...list.values()][0]!)
  t.equal(list.size, 0)
})

t.test('another process\' notes come at the start and with each look, of the own bucket alone', async t => {
  const { list, disk, noteElsewhere, waiting, another, told } = setUp(t)
  const first = await noteElsewhere(OBJECT)
  await noteElsewhere(DOUBLES, 'another-bucket')
  t.match([...another().values()], [{ ...first, isForeign: true, isWritten: true }])
  t.same([...another().values()].length, 1)
  t.equal(list.size, 0)
  await list.refresh()
  await list.refresh()
  t.match([...list.values()], [{ ...first, isForeign: true, isWritten: true }])
  t.equal(list.size, 1)
  const own = list.add({ kind: 'uploads', key: 'b.mp3' })
  await list.write(own)
  await disk.remove(first.id)
  const unwritten = list.add({ kind: 'uploads', key: 'c.mp3' })
  await list.refresh()
  t.same(waiting(), [own.leftover, unwritten.leftover], 'what others did is off the list')
  t.same(told, [])
})

t.test('what is another bucket\'s is read once, until it is gone', async t => {
  const reads = failing('readFile')
  reads.trouble.isOver = true
  const { list, noteElsewhere } = setUp(t, reads.fs)
  await noteElsewhere(OBJECT, 'another-bucket')
  for (let count = 0; count < 3; count++) await list.refresh()
  t.equal(reads.trouble.calls, 1)
})

t.test('a leftover stands until the disk says that somebody did it', async t => {
  const { trouble, fs } = failing('readFile')
  trouble.isOver = true
  const { list, disk, told } = setUp(t, fs)
  const [entry, unwritten] = [list.add(OBJECT), list.add(DOUBLES)]
  await list.write(entry)
  t.same([await list.stands(entry), await list.stands(unwritten)], [true, true])
  trouble.isOver = false
  t.same([await list.stands(entry), await list.stands(unwritten)], [false, true], 'where the disk can\'t tell it is not sure')
  t.equal(list.size, 2, 'but not gone')
  t.match(told, [{ event: 'b2.leftovers_unwritten', what: 'read', err: { code: 'EIO' } }])
  trouble.isOver = true
  await disk.remove(entry.id)
  t.equal(await list.stands(entry), false)
  t.equal(list.size, 1)
})

t.test('trouble with the disk is told once for each kind, until the same works again', async t => {
  const { trouble, fs } = failing('open', 'EROFS')
  const { list, told, noted } = setUp(t, fs)
  for (const key of ['a', 'b', 'c']) list.add({ kind: 'uploads', key })
  await list.writeAll()
  t.equal(trouble.calls, 1, 'where one can\'t be written, the others can\'t either')
  const [first] = list.values()
  t.equal(await list.write(first!), false)
  t.match(told, [{ what: 'write', err: { code: 'EROFS' } }])
  t.equal(told.length, 1)
  trouble.isOver = true
  await list.writeAll()
  const calls = trouble.calls
  await list.writeAll()
  t.equal(trouble.calls, calls, 'what is written is written')
  t.equal(noted().length, 3)
  trouble.isOver = false
  t.equal(await list.write(list.add(OBJECT)), false)
  t.equal(told.length, 2)
})

t.test('a note that stays on the disk is told', async t => {
  const { list, told } = setUp(t, failing('unlink').fs)
  const entry = list.add(OBJECT)
  await list.write(entry)
  await list.done(entry)
  t.match(told, [{ what: 'remove', err: { code: 'EIO' } }])
  t.equal(list.size, 0)
})

t.test('forgotten is an object that nobody wants', async t => {
  const { list } = setUp(t)
  list.add(DOUBLES)
  t.equal(list.isForgotten('a.mp3'), false)
  const entry = list.add(OBJECT)
  t.same(['a.mp3', 'b.mp3'].map(key => list.isForgotten(key)), [true, false])
  entry.wanted = true
  t.equal(list.isForgotten('a.mp3'), false)
})

t.test('an upload may come true while its completion was sent and B2 does not refuse to end it', async t => {
  const { list } = setUp(t)
  list.add({ kind: 'uploads', key: 'a.mp3' })
  list.add({ kind: 'upload', key: 'a.mp3', uploadId: '1' })
  t.equal(list.mayComplete('a.mp3'), false)
  const entry = list.add({ kind: 'upload', key: 'a.mp3', uploadId: '2', mayComplete: true })
  const told: [Waiting['told'], boolean][] = [[undefined, true], ['local', true], ['access_denied', false]]
  for (const [what, expected] of told) {
    entry.told = what
    t.same(['a.mp3', 'b.mp3'].map(key => list.mayComplete(key)), [expected, false], String(what))
  }
})
