import { join, relative, sep } from 'node:path'
import { setImmediate as othersRun } from 'node:timers/promises'
import type { FileSystem } from '../disk/file-system.ts'
import { errnoOf } from '../disk/errors.ts'
import { isSearched } from './names.ts'

/** Names in a batch. Other work on the event loop has its turn after each batch. */
const BATCH = 1_000

/** Names that one system call reads: few calls, and still little memory. */
const READ_AT_ONCE = 500

/** Some of the files in one directory. */
export interface FileBatch {
  directory: string
  /** What comes before the names in keys: empty, or it ends in a slash. */
  prefix: string
  /** Names, in the order of the directory. */
  files: string[]
}

/**
 * All regular files below a directory, in batches that are read one after the other: a directory may hold millions. A file
 * that vanishes meanwhile is not an error, and one that comes meanwhile may be missing.
 * @param onUnreadable called for each directory that cannot be read (to its end), which is skipped then; it may throw
 */
export async function * filesBelow (fs: FileSystem, root: string, onUnreadable: (error: unknown, directory: string) => void): AsyncGenerator<FileBatch> {
  const directories = [root]
  for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
    const prefix = directory === root ? '' : `${relative(root, directory).replaceAll(sep, '/')}/`
    try {
      let files: string[] = []
      let seen = 0
      for await (const entry of await fs.opendir(directory, { bufferSize: READ_AT_ONCE })) {
        if (entry.isFile()) files.push(entry.name)
        else if (entry.isDirectory() && isSearched(entry.name)) directories.push(join(directory, entry.name))
        if (++seen % BATCH > 0) continue
        if (files.length > 0) yield { directory, prefix, files }
        files = []
        await othersRun()
      }
      if (files.length > 0) yield { directory, prefix, files }
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') onUnreadable(error, directory)
    }
  }
}
