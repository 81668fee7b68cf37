import { chmodSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { createStatus } from '../../../services/local/status.ts'
import type { StatusOptions } from '../../../services/local/status.ts'

/** The status of a directory on a disk with so many bytes and inodes free, 1,000 bytes of which are to be kept. */
function build (root: string, { free = 5_000, inodes = 50, ...options }: Partial<StatusOptions> & { free?: number, inodes?: number } = {}) {
  const freeSpace = { measure: async () => ({ bytes: free, inodes }), reserve: async () => { throw new Error('nothing is to be reserved') } }
  const makeDirectory = async (path: string) => { mkdirSync(path) }
  return createStatus({ fs: nodeFs, root, minFreeBytes: 1_000, freeSpace, makeDirectory, ...options })
}

t.test('a directory that may be written is writable while there is room beyond what is to be kept', async t => {
  const root = t.testdir()
  for (const [free, minFreeBytes, writable] of [[5_000, 1_000, true], [1_000, 1_000, true], [999, 1_000, false], [1, 0, true], [0, 0, false]] as const) {
    t.same(await build(root, { free, minFreeBytes })(), { writable, free_bytes: free, free_inodes: 50 }, `${free} of ${minFreeBytes}`)
  }
})

t.test('a file needs an inode, and its receipt another', async t => {
  for (const inodes of [0, 1, 2, Infinity]) {
    t.same(await build(t.testdir(), { inodes })(), { writable: inodes >= 2, free_bytes: 5_000, free_inodes: inodes })
  }
})

t.test('where the room can\'t be measured, that does not stop anybody', async t => {
  const freeSpace = { measure: async () => { throw new Error('no') }, reserve: async () => { throw new Error('nothing is to be reserved') } }
  t.same(await build(t.testdir(), { freeSpace })(), { writable: true, free_bytes: 0, free_inodes: 0 })
})

t.test('a directory that is gone is made again', async t => {
  const root = join(t.testdir(), 'storage')
  t.same(await build(root)(), { writable: true, free_bytes: 5_000, free_inodes: 50 })
  t.ok(existsSync(root))
})

t.test('one that can\'t be made again, may not be written or is a file is not writable', async t => {
  const root = t.testdir({ file: '' })
  const refuse = async (): Promise<never> => { throw Object.assign(new Error('no'), { code: 'EACCES' }) }
  t.same(await build(join(root, 'missing'), { makeDirectory: refuse })(), { writable: false, free_bytes: 5_000, free_inodes: 50 })
  const makeDirectory = async () => { t.fail('there is one') }
  t.same(await build(root, { fs: { ...nodeFs, access: refuse }, makeDirectory })(), { writable: false, free_bytes: 5_000, free_inodes: 50 })
  chmodSync(join(root, 'file'), 0o777)
  t.same(await build(join(root, 'file'), { makeDirectory })(), { writable: false, free_bytes: 5_000, free_inodes: 50 })
})

t.test('it is asked for what a new file needs: writing, and searching', async t => {
  const modes: unknown[] = []
  await build(t.testdir(), { fs: { ...nodeFs, access: async (_path, mode) => { modes.push(mode) } } })()
  t.same(modes, [nodeFs.constants.W_OK | nodeFs.constants.X_OK])
})

t.test('those who ask at the same time share one answer, and the next gets a new one', async t => {
  const root = join(t.testdir(), 'storage')
  mkdirSync(root)
  const status = build(root, { makeDirectory: async () => { throw new Error('no') } })
  const first = status()
  t.equal(status(), first)
  t.match(await first, { writable: true })
  rmSync(root, { recursive: true })
  t.match(await status(), { writable: false })
})
