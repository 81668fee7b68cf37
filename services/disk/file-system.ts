import type nodeFs from 'node:fs/promises'
import { dirname } from 'node:path'
import { errnoOf } from './errors.ts'

/** The part of Node that all work on the disk is done with; tests pass faulty ones. */
export type FileSystem = typeof nodeFs

/** What file systems without directory fsync (FUSE, SMB) answer: there is nothing to wait for. */
const NOT_SUPPORTED = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'])

interface Sync {
  readonly done: Promise<void>
  /** The one after it, which has not begun. */
  next?: Promise<void>
}

/** The syncs that are under way, by directory. */
const syncs = new WeakMap<FileSystem, Map<string, Sync>>()

/**
 * Makes the names in a directory durable: a rename survives a power cut only after this. Calls that come during a sync of the
 * same directory share the next one, which begins after all of their renames.
 */
export async function syncDirectory (fs: FileSystem, directory: string): Promise<void> {
  if (process.platform === 'win32') return // a directory cannot be opened there
  let underWay = syncs.get(fs)
  if (underWay === undefined) syncs.set(fs, underWay = new Map())
  const current = underWay.get(directory)
  if (current === undefined) return await beginSync(fs, directory, underWay)
  current.next ??= current.done.catch(() => {}).then(() => beginSync(fs, directory, underWay))
  await current.next
}

async function beginSync (fs: FileSystem, directory: string, underWay: Map<string, Sync>): Promise<void> {
  const own: Sync = { done: sync(fs, directory) }
  underWay.set(directory, own)
  try {
    await own.done
  } finally {
    if (own.next === undefined) underWay.delete(directory)
  }
}

async function sync (fs: FileSystem, directory: string): Promise<void> {
  const handle = await fs.open(directory, 'r')
  try {
    await handle.sync()
  } catch (error) {
    if (!NOT_SUPPORTED.has(errnoOf(error) ?? '')) throw error
  } finally {
    await handle.close()
  }
}

/** What an operation on a file gives; undefined if there is no such file or directory. */
export async function ifThere<T> (operation: Promise<T>): Promise<T | undefined> {
  return await operation.catch((error: unknown) => {
    if (errnoOf(error) !== 'ENOENT') throw error
    return undefined
  })
}

/** Whether there was anything of this name to remove. */
export async function unlinkIfThere (fs: FileSystem, path: string): Promise<boolean> {
  return await ifThere(fs.unlink(path).then(() => true)) ?? false
}

export async function exists (fs: FileSystem, path: string): Promise<boolean> {
  return await ifThere(fs.lstat(path)) !== undefined
}

/** Rejects with EEXIST if one of the names is taken: a rename would replace that file silently. */
export async function assertFree (fs: FileSystem, ...paths: string[]): Promise<void> {
  for (const path of paths) {
    if (await exists(fs, path)) throw Object.assign(new Error('the key is stored already'), { code: 'EEXIST', syscall: 'open' })
  }
}

/** What a file looks like: this changes with every write, heartbeat and replacement. Rejects with ENOENT if the file is not there. */
export async function stampOf (fs: FileSystem, path: string): Promise<string> {
  const { ino, size, mtimeNs } = await fs.lstat(path, { bigint: true })
  return `${ino} ${size} ${mtimeNs}`
}

/**
 * Returns a function that makes a directory (absolute path) and its missing parents, durably. Calls for the same directory
 * at the same time share one run: none of them resolves before the new names are on the disk.
 */
export function createDirectoryMaker (fs: FileSystem): (directory: string) => Promise<void> {
  const running = new Map<string, Promise<void>>()

  // Not with `recursive`: in places such as /proc, which have the parent but make no directories, Node tries again for ever.
  async function make (directory: string): Promise<void> {
    const parent = dirname(directory)
    try {
      await makeOne(directory, parent)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || parent === directory) throw error
      await make(parent)
      await makeOne(directory, parent)
    }
  }

  async function makeOne (directory: string, parent: string): Promise<void> {
    try {
      await fs.mkdir(directory)
    } catch (error) {
      if (errnoOf(error) === 'EEXIST' && (await fs.stat(directory)).isDirectory()) return
      throw error
    }
    await syncDirectory(fs, parent)
  }

  return function makeDirectory (directory) {
    let run = running.get(directory)
    if (run === undefined) {
      run = make(directory).finally(() => running.delete(directory))
      running.set(directory, run)
    }
    return run
  }
}
