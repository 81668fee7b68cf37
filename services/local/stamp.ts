import type { FileSystem } from './directory.ts'
import { errnoOf } from './errors.ts'

/** What a file looks like; it changes with every write, heartbeat and replacement. ENOENT when it is not there. */
export async function stampOf (fs: FileSystem, path: string): Promise<string> {
  const { ino, size, mtimeNs } = await fs.lstat(path, { bigint: true })
  return `${ino} ${size} ${mtimeNs}`
}

/** Whether there is something of this name. Rejects where that cannot be told. */
export async function exists (fs: FileSystem, path: string): Promise<boolean> {
  try {
    await fs.lstat(path)
    return true
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw error
  }
}

/** Rejects with EEXIST where one of the names is taken: a rename would replace the file without a word. */
export async function assertFree (fs: FileSystem, ...paths: string[]): Promise<void> {
  for (const path of paths) {
    if (await exists(fs, path)) throw Object.assign(new Error('the key is stored already'), { code: 'EEXIST', syscall: 'open' })
  }
}
