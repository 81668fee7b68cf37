import type { Dirent } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as othersRun } from 'node:timers/promises'
import type { FileSystem } from './local-directory.ts'
import { errnoOf } from './local-errors.ts'
import { isSearched } from './local-names.ts'

/** Names that are looked at before others on the event loop have their turn. */
const BATCH = 1_000

/** Some of the files in one directory. */
export interface FileBatch {
  directory: string
  /** Names, in the order of the directory. */
  files: string[]
  /** All names in the directory. */
  siblings: ReadonlySet<string>
}

/**
 * All regular files below a directory, in batches: a directory may hold hundreds of thousands. One that vanishes meanwhile
 * is no error.
 * @param onUnreadable told of each directory that cannot be read, which is passed over then; it may throw
 */
export async function * filesBelow (fs: FileSystem, root: string, onUnreadable: (error: unknown, directory: string) => void): AsyncGenerator<FileBatch> {
  const directories = [root]
  for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
    let entries: Dirent[]
    try {
      entries = await fs.readdir(directory, { withFileTypes: true })
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') onUnreadable(error, directory)
      continue
    }
    const files: string[] = []
    const siblings = new Set<string>()
    for (const [index, entry] of entries.entries()) {
      if (index % BATCH === BATCH - 1) await othersRun()
      siblings.add(entry.name)
      if (entry.isFile()) files.push(entry.name)
      else if (entry.isDirectory() && isSearched(entry.name)) directories.push(join(directory, entry.name))
    }
    for (let start = 0; start < files.length; start += BATCH) {
      yield { directory, files: files.slice(start, start + BATCH), siblings }
      await othersRun()
    }
  }
}
