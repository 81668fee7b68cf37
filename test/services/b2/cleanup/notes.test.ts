import { readdir, readFile, rename, writeFile } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { Notes } from '../../../../services/b2/cleanup/notes.ts'
import type { NotesOptions, Note } from '../../../../services/b2/cleanup/notes.ts'
import { uuidv7 } from '../../../../services/keys.ts'

interface Stage { dir: string, list: Notes, told: object[] }

function setUp (t: Test, options: Partial<NotesOptions> = {}): Stage {
  const dir = join(t.testdir(), 'storage', '.leftovers')
  const told: object[] = []
  const log = { info: () => {}, warn: (fields: object) => { told.push(fields) }, error: (fields: object) => { told.push(fields) } }
  return { dir, list: new Notes({ dir, log, ...options }), told }
}

function noteOf (leftover: Note['leftover'], notedAt = Date.parse('2025-06-01T12:00:00.000Z')): Note {
  return { id: uuidv7(notedAt), bucket: 'music', leftover, notedAt }
}

/** A file system of which one function on one path fails. */
function failing (name: 'readdir' | 'readFile' | 'rename' | 'unlink', code: string): Pick<typeof nodeFs, typeof name> {
  const fail = async (): Promise<never> => { throw Object.assign(new Error(code), { code }) }
  return { [name]: fail } as never
}

t.test('what is written down is read again, oldest first, also by another process', async t => {
  const { dir, list } = setUp(t)
  const notes = [
    noteOf({ kind: 'upload', key: 'tracks/a.mp3', uploadId: '4_z1' }, 1_000),
    noteOf({ kind: 'uploads', key: 'tracks/b.mp3' }, 2_000),
    noteOf({ kind: 'object', key: 'tracks/ü c.mp3', correlation_id: 'of-the-upload' }, 3_000),
    noteOf({ kind: 'doubles', key: 'tracks/d.mp3' }, 4_000),
  ]
  for (const note of notes.toReversed()) await list.write(note)
  const other = new Notes({ dir })
  t.same(other.readAtStart(), notes)
  const ids = await other.ids()
  t.same(ids, notes.map(({ id }) => id))
  t.same(await Promise.all(ids.map(async id => await other.read(id))), notes)
  t.same((await readdir(dir)).sort(), ids.map(id => `${id}.json`), 'one file each, and nothing else')
})

t.test('a note is legible for people', async t => {
  const { dir, list } = setUp(t)
  const note = noteOf({ kind: 'object', key: 'tracks/a.mp3' })
  await list.write(note)
  t.same(JSON.parse(await readFile(join(dir, `${note.id}.json`), 'utf8')), { bucket: 'music', kind: 'object', key: 'tracks/a.mp3', noted_at: '2025-06-01T12:00:00.000Z' })
})

t.test('what is removed is off the list, and removing it twice is no error', async t => {
  const { dir, list } = setUp(t)
  const [kept, removed] = [noteOf({ kind: 'object', key: 'a' }), noteOf({ kind: 'object', key: 'b' })]
  await list.remove(removed.id)
  await list.write(kept)
  await list.write(removed)
  await list.remove(removed.id)
  await list.remove(removed.id)
  t.same(await list.ids(), [kept.id])
  t.equal(await list.read(removed.id), undefined)
  t.same(await readdir(dir), [`${kept.id}.json`])
})

t.test('a directory that is not there is an empty list', async t => {
  const { list, told } = setUp(t)
  t.same(list.readAtStart(), [])
  t.same(await list.ids(), [])
  t.same(told, [])
})

t.test('a directory that can\'t be read is no empty list', async t => {
  const { list } = setUp(t, { fs: failing('readdir', 'EACCES') })
  await t.rejects(list.ids(), { code: 'EACCES' })
})

t.test('a note that the disk does not give is not gone', async t => {
  const { dir, list } = setUp(t, { fs: failing('readFile', 'EIO') })
  const note = noteOf({ kind: 'object', key: 'a' })
  await list.write(note)
  await t.rejects(list.read(note.id), { code: 'EIO' })
  t.same(await new Notes({ dir }).read(note.id), note)
})

t.test('files that are not ours or can\'t be understood are left alone, and logged once', async t => {
  const { dir, list, told } = setUp(t)
  const note = noteOf({ kind: 'object', key: 'a' })
  await list.write(note)
  const broken: Record<string, string> = {
    'README.txt': 'hello',
    'a.json': '{}',
    [`${uuidv7()}.json`]: '',
    [`${uuidv7()}.json`]: '{"kind":"object","key":"tracks/a.m',
    [`${uuidv7()}.json`]: 'null',
    [`${uuidv7()}.json`]: '{"bucket":"music","kind":"bucket","key":"a","noted_at":"2025-06-01T12:00:00.000Z"}',
    [`${uuidv7()}.json`]: '{"bucket":"music","kind":"upload","key":"a","noted_at":"2025-06-01T12:00:00.000Z"}',
    [`${uuidv7()}.json`]: '{"bucket":"music","kind":"object","key":"","noted_at":"2025-06-01T12:00:00.000Z"}',
    [`${uuidv7()}.json`]: '{"bucket":"music","kind":"object","noted_at":"2025-06-01T12:00:00.000Z"}',
    [`${uuidv7()}.json`]: '{"bucket":"music","kind":"object","key":"a","noted_at":"once"}',
    [`${uuidv7()}.json`]: '{"kind":"object","key":"a","noted_at":"2025-06-01T12:00:00.000Z"}',
  }
  for (const [name, text] of Object.entries(broken)) await writeFile(join(dir, name), text)
  for (const round of [1, 2]) {
    t.same(list.readAtStart(), [note], `round ${round}`)
    const read = await Promise.all((await list.ids()).map(async id => await list.read(id)))
    t.same(read.filter(found => found !== undefined), [note])
  }
  t.same(new Set(told), new Set(Object.keys(broken).map(file => ({ file }))))
  t.equal(told.length, Object.keys(broken).length)
  for (const [name, text] of Object.entries(broken)) t.equal(await readFile(join(dir, name), 'utf8'), text)
})

t.test('a note that the disk takes long to write is left to its writer, however often others look', async t => {
  let goOn = (): void => {}
  let isSyncing = (): void => {}
  const syncing = new Promise<void>(resolve => { isSyncing = resolve })
  const open = (async (path: string, ...rest: []) => {
    const file = await nodeFs.open(path, ...rest)
    const sync = file.sync.bind(file)
    return path.endsWith('.part')
      ? Object.assign(file, {
        sync: async () => {
          isSyncing()
          await new Promise<void>(resolve => { goOn = resolve })
          await sync()
        }
      })
      : file
  }) as unknown as typeof nodeFs.open
  const { dir, list } = setUp(t, { fs: { open } })
  const note = noteOf({ kind: 'object', key: 'tracks/a.mp3' })
  const writing = list.write(note)
  await syncing
  for (let look = 0; look < 4; look++) t.same(await list.ids(), [])
  goOn()
  await writing
  t.same(await new Notes({ dir }).ids(), [note.id])
  t.same(await readdir(dir), [`${note.id}.json`])
})

t.test('the part file of a killed process is no note, and goes at the second look', async t => {
  const { dir, list, told } = setUp(t)
  const note = noteOf({ kind: 'object', key: 'a' })
  await list.write(note)
  const left = join(dir, `.${uuidv7()}.json.part`)
  await writeFile(left, '{"kind":"obj')
  t.same(await list.ids(), [note.id])
  t.same((await readdir(dir)).length, 2, 'its owner may live')
  t.same(await list.ids(), [note.id])
  t.same(await readdir(dir), [`${note.id}.json`])
  t.same(told, [])
})

t.test('a note that can\'t be written leaves nothing, and can be written later', async t => {
  const { dir, list } = setUp(t, { fs: failing('rename', 'ENOSPC') })
  const note = noteOf({ kind: 'object', key: 'a' })
  await t.rejects(list.write(note), { code: 'ENOSPC' })
  t.same(await readdir(dir), [])
  await new Notes({ dir }).write(note)
  t.same(await list.ids(), [note.id])
})

t.test('a note that can\'t be removed is reported', async t => {
  const { list } = setUp(t, { fs: failing('unlink', 'EROFS') })
  const note = noteOf({ kind: 'object', key: 'a' })
  await list.write(note)
  await t.rejects(list.remove(note.id), { code: 'EROFS' })
})

t.test('a note has its name only once its bytes are on the disk, and then the name is made durable', async t => {
  const steps: string[] = []
  const open = async (...args: Parameters<typeof nodeFs.open>): Promise<FileHandle> => {
    const handle = await nodeFs.open(...args)
    const sync = handle.sync.bind(handle)
    handle.sync = async () => {
      await sync()
      steps.push(`sync ${/\.part$/.test(String(args[0])) ? 'file' : 'directory'}`)
    }
    return handle
  }
  const renameNow: typeof rename = async (from, to) => {
    await rename(from, to)
    steps.push('rename')
  }
  const { list } = setUp(t, { fs: { open, rename: renameNow } })
  const note = noteOf({ kind: 'object', key: 'a' })
  await list.write(note)
  t.same(steps.slice(-3), ['sync file', 'rename', 'sync directory'])
  steps.length = 0
  await list.remove(note.id)
  t.same(steps, ['sync directory'])
})
