import { existsSync } from 'node:fs'
import nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { createDirectoryMaker, syncDirectory, unlinkIfThere } from '../../../services/disk/file-system.ts'

const failure = (code: string): Error => Object.assign(new Error('no'), { code })

/** The real file system, whose directories can't be synced where there is an error; it says what is made and synced, and what is open. */
function watchedFs (syncError?: Error) {
  const done: string[] = []
  let open = 0
  const fs = {
    ...nodeFs,
    async mkdir (path: string) {
      await nodeFs.mkdir(path)
      done.push(`mkdir ${path}`)
    },
    async open (path: string, flags: string) {
      const handle = await nodeFs.open(path, flags)
      open++
      return {
        async sync () {
          await handle.sync()
          if (syncError !== undefined) throw syncError
          done.push(`sync ${path}`)
        },
        async close () {
          open--
          await handle.close()
        },
      }
    },
  } as unknown as typeof nodeFs
  return { fs, done, openHandles: () => open }
}

t.test('a directory is synced, and closed again', async t => {
  const dir = t.testdir()
  const { fs, done, openHandles } = watchedFs()
  await syncDirectory(fs, dir)
  t.same(done, [`sync ${dir}`])
  t.equal(openHandles(), 0)
})

t.test('calls during a sync share the next one, which begins after them, and fail with it alone', async t => {
  const dir = t.testdir()
  const { fs, done, openHandles } = watchedFs()
  const first = syncDirectory(fs, dir)
  const during = [1, 2, 3].map(() => syncDirectory(fs, dir))
  await first
  t.same(done, [`sync ${dir}`], 'those that came during it are not done by it')
  await Promise.all(during)
  t.same(done, [`sync ${dir}`, `sync ${dir}`])
  await syncDirectory(fs, dir)
  t.equal(done.length, 3, 'one that comes later has its own')

  const broken = watchedFs(failure('EIO'))
  const failed = await Promise.allSettled([1, 2, 3].map(() => syncDirectory(broken.fs, dir)))
  t.same(failed.map(({ status }) => status), ['rejected', 'rejected', 'rejected'])
  t.equal(openHandles() + broken.openHandles(), 0)
})

t.test('a file system that has no such step is none of our trouble; a disk that fails is', async t => {
  const dir = t.testdir()
  for (const code of ['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']) await syncDirectory(watchedFs(failure(code)).fs, dir)
  for (const error of [failure('EIO'), failure('ENOSPC'), new Error('without a code')]) {
    const { fs, openHandles } = watchedFs(error)
    await t.rejects(syncDirectory(fs, dir), error)
    t.equal(openHandles(), 0)
  }
  await t.rejects(syncDirectory(nodeFs, join(dir, 'missing')), { code: 'ENOENT' })
})

t.test('on Windows, where no directory can be opened, nothing is synced', async t => {
  const dir = t.testdir()
  t.intercept(process, 'platform', { value: 'win32' })
  const { fs, done } = watchedFs()
  await syncDirectory(fs, dir)
  t.same(done, [])
})

t.test('a name is taken away, and whether it was there is told', async t => {
  const dir = t.testdir({ file: '' })
  t.equal(await unlinkIfThere(nodeFs, join(dir, 'file')), true)
  t.equal(await unlinkIfThere(nodeFs, join(dir, 'file')), false)
  t.notOk(existsSync(join(dir, 'file')))
  await t.rejects(unlinkIfThere({ ...nodeFs, unlink: async () => { throw failure('EACCES') } }, join(dir, 'file')), { code: 'EACCES' })
})

t.test('a directory is made with its parents, each name durable before the next', async t => {
  const dir = t.testdir()
  const { fs, done } = watchedFs()
  const make = createDirectoryMaker(fs)
  const [a, b, c] = [join(dir, 'a'), join(dir, 'a', 'b'), join(dir, 'a', 'b', 'c')]
  await make(c)
  t.same(done.splice(0), [`mkdir ${a}`, `sync ${dir}`, `mkdir ${b}`, `sync ${a}`, `mkdir ${c}`, `sync ${b}`])
  await make(c)
  t.same(done, [], 'what is there is left alone')
  await nodeFs.rm(c, { recursive: true })
  await make(c)
  t.same(done, [`mkdir ${c}`, `sync ${b}`], 'and made again when it is gone')
})

t.test('those who want a directory at the same time wait for one run, and fail with it', async t => {
  const dir = t.testdir()
  const { fs, done } = watchedFs()
  const make = createDirectoryMaker(fs)
  const both = [make(join(dir, 'a')), make(join(dir, 'a'))]
  t.equal(both[0], both[1])
  await Promise.all(both)
  t.same(done, [`mkdir ${join(dir, 'a')}`, `sync ${dir}`])

  const failing = createDirectoryMaker(watchedFs(failure('EIO')).fs)
  await t.rejects(failing(join(dir, 'b')), { code: 'EIO' })
  await failing(join(dir, 'b'))
})

t.test('a file where the directory should be is an error, and so is one above it', async t => {
  const dir = t.testdir({ file: '' })
  const make = createDirectoryMaker(nodeFs)
  await t.rejects(make(join(dir, 'file')), { code: 'EEXIST' })
  await t.rejects(make(join(dir, 'file', 'below')), { code: 'ENOTDIR' })
})

t.test('where even the root is said to be missing, it is not tried for ever', async t => {
  const tried: string[] = []
  const mkdir = async (path: string): Promise<never> => {
    tried.push(path)
    throw failure(tried.length < 10 ? 'ENOENT' : 'EIO')
  }
  await t.rejects(createDirectoryMaker({ ...nodeFs, mkdir } as unknown as typeof nodeFs)('/a/b'), { code: 'ENOENT' })
  t.same(tried, ['/a/b', '/a', '/'])
})
