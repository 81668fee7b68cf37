import { dirname } from 'node:path'
import { errnoOf } from './errors.ts'

/** The part of Node that the local store does its work with; tests pass faulty ones. */
export type FileSystem = typeof import('node:fs/promises')

/** What file systems without directory fsync (FUSE, SMB) answer: they have no such step to wait for. */
const NOT_SUPPORTED = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'])

/** Makes the names in a directory durable: a rename survives a power cut only after this. */
export async function syncDirectory (fs: FileSystem, directory: string): Promise<void> {
  if (process.platform === 'win32') return // a directory cannot be opened there
  const handle = await fs.open(directory, 'r')
  try {
    await handle.sync()
  } catch (error) {
    if (!NOT_SUPPORTED.has(errnoOf(error) ?? '')) throw error
  } finally {
    await handle.close()
  }
}

/** Whether there was anything of this name to take away. Rejects where it stays. */
export async function unlinkIfThere (fs: FileSystem, path: string): Promise<boolean> {
  try {
    await fs.unlink(path)
    return true
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw error
  }
}

/**
 * Returns a function that makes a directory (absolute path) and its missing parents, durably. Calls for the same directory
 * at the same time share one run: none of them goes on before the new names are on the disk.
 */
export function createDirectoryMaker (fs: FileSystem): (directory: string) => Promise<void> {
  const running = new Map<string, Promise<void>>()

  // Not with `recursive`: where a system makes no directories though the parent is there, such as /proc, Node tries again for ever.
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
