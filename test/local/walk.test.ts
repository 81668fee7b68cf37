import { mkdirSync, symlinkSync } from 'node:fs'
import type { Dirent } from 'node:fs'
import nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { filesBelow } from '../../services/local-walk.ts'
import type { FileBatch } from '../../services/local-walk.ts'

const failure = (code: string): Error => Object.assign(new Error('no'), { code })

/** The real file system, but for directories that can't be read. */
function fsWithout (errors: Record<string, Error>) {
  const readdir = async (path: string, options: object): Promise<unknown> => {
    if (errors[path] !== undefined) throw errors[path]
    return await nodeFs.readdir(path, options)
  }
  return { ...nodeFs, readdir } as unknown as typeof nodeFs
}

async function all (batches: AsyncIterable<FileBatch>): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {}
  for await (const { directory, files } of batches) found[directory] = files.toSorted()
  return found
}

const noTrouble = (error: unknown): void => { throw error }

t.test('all regular files are found, wherever they lie, but not in directories that are somebody else\'s', async t => {
  const root = t.testdir({ a: '', b: '', tracks: { c: '', deep: { d: '' }, empty: {} }, '.snapshot': { e: '' }, 'back\\slash': { f: '' } })
  symlinkSync('a', join(root, 'link'))
  symlinkSync('tracks', join(root, 'linked'))
  t.same(await all(filesBelow(nodeFs, root, noTrouble)), { [root]: ['a', 'b'], [join(root, 'tracks')]: ['c'], [join(root, 'tracks', 'deep')]: ['d'] })
})

t.test('a file comes with all names beside it, whatever has them', async t => {
  const root = t.testdir({ a: '', '.b': '', c: {}, '.d': {} })
  symlinkSync('a', join(root, 'e'))
  for await (const { siblings } of filesBelow(nodeFs, root, noTrouble)) t.same([...siblings].sort(), ['.b', '.d', 'a', 'c', 'e'])
})

t.test('a directory that vanishes is no error; one that can\'t be read is told of and passed over', async t => {
  const root = t.testdir({ gone: {}, closed: {}, open: { a: '' } })
  const denied = failure('EACCES')
  const fs = fsWithout({ [join(root, 'gone')]: failure('ENOENT'), [join(root, 'closed')]: denied })
  const told: unknown[] = []
  t.same(await all(filesBelow(fs, root, (...values) => { told.push(values) })), { [join(root, 'open')]: ['a'] })
  t.same(told, [[denied, join(root, 'closed')]])
  t.same(await all(filesBelow(nodeFs, join(root, 'missing'), noTrouble)), {})
})

t.test('what is thrown for a directory that can\'t be read ends the search', async t => {
  const root = t.testdir()
  mkdirSync(join(root, 'closed'))
  await t.rejects(all(filesBelow(fsWithout({ [join(root, 'closed')]: failure('EACCES') }), root, noTrouble)), { code: 'EACCES' })
})

t.test('a long directory comes in batches of a thousand, in its order, and others have a turn for each thousand names', async t => {
  const names = Array.from({ length: 2_500 }, (_, index) => `${index}`)
  const entries = names.map(name => ({ name, isFile: () => true, isDirectory: () => false }) as Dirent)
  // At once, so that all turns are those between the batches.
  const readdir = async () => entries
  let turns = 0
  let counting: NodeJS.Immediate
  const count = (): void => { turns++; counting = setImmediate(count) }
  counting = setImmediate(count)
  t.teardown(() => clearImmediate(counting))

  const batches: Array<{ files: string[], turns: number }> = []
  for await (const { files, siblings } of filesBelow({ ...nodeFs, readdir } as unknown as typeof nodeFs, '/storage', noTrouble)) {
    batches.push({ files, turns })
    t.equal(siblings.size, 2_500)
  }
  t.same(batches, [
    { files: names.slice(0, 1_000), turns: 2 },
    { files: names.slice(1_000, 2_000), turns: 3 },
    { files: names.slice(2_000), turns: 4 },
  ])
})
