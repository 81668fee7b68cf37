import { mkdirSync, symlinkSync } from 'node:fs'
import nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { filesBelow } from '../../../services/local/walk.ts'
import type { FileBatch } from '../../../services/local/walk.ts'
import { dirOf } from '../../fixtures/local-files.ts'

const failure = (code: string): Error => Object.assign(new Error('no'), { code })

/** The real file system, but for directories that can't be read. */
function fsWithout (errors: Record<string, Error>) {
  const opendir: typeof nodeFs.opendir = async (path, options) => {
    const error = errors[String(path)]
    if (error !== undefined) throw error
    return await nodeFs.opendir(path, options)
  }
  return { ...nodeFs, opendir }
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

t.test('files come with what stands before their names in keys', async t => {
  const root = t.testdir({ a: '', tracks: { deep: { b: '' } } })
  const prefixes: string[] = []
  for await (const { prefix, files } of filesBelow(nodeFs, root, noTrouble)) prefixes.push(`${prefix}${files.join()}`)
  t.same(prefixes, ['a', 'tracks/deep/b'])
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

t.test('a directory that fails in the middle is told of, and what was read of it counts', async t => {
  const root = t.testdir({ a: '', b: '' })
  const broken = failure('EIO')
  const opendir = (async () => (async function * () {
    for (let name = 1; name < 1_002; name++) yield { name: String(name), isFile: () => true, isDirectory: () => false }
    throw broken
  })()) as unknown as typeof nodeFs.opendir
  const told: unknown[] = []
  const found = await all(filesBelow({ ...nodeFs, opendir }, root, error => { told.push(error) }))
  t.equal(found[root]?.length, 1_000)
  t.same(told, [broken])
})

t.test('a long directory comes in batches of a thousand, in its order, and others have a turn after each', async t => {
  const names = Array.from({ length: 2_500 }, (_, index) => `${index}`)
  let turns = 0
  let counting: NodeJS.Immediate
  const count = (): void => { turns++; counting = setImmediate(count) }
  counting = setImmediate(count)
  t.teardown(() => clearImmediate(counting))

  const batches: Array<{ files: string[], turns: number }> = []
  for await (const { files } of filesBelow({ ...nodeFs, opendir: dirOf(names) }, '/storage', noTrouble)) batches.push({ files, turns })
  t.same(batches.map(({ files }) => files), [names.slice(0, 1_000), names.slice(1_000, 2_000), names.slice(2_000)])
  t.ok(batches[0]!.turns < batches[1]!.turns && batches[1]!.turns < batches[2]!.turns)
})
