import type { FileHandle } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import type { FileSystem } from '../disk/file-system.ts'
import type { ByteRange } from '../downloads/byte-range.ts'
import { errnoOf } from '../disk/errors.ts'
import { toLocalStoreError } from './errors.ts'
import { LocalStream } from './stream.ts'

/** An open data file: it stays readable while it is removed. Take one stream, or close it. */
export interface OpenFile {
  readonly size: number
  /**
   * The whole file, or the bytes of a range within it. The stream owns the file and closes it, however it ends. Its errors are
   * those of the file system; `toLocalStoreError` gives them a code.
   * @throws RangeError for any other range
   */
  stream (range?: ByteRange): Readable
  /** The same for a reader that may pause for long. */
  streamForReader (range?: ByteRange): Readable
  /** Closes the file if no stream was taken. */
  close (): Promise<void>
}

/** @throws LocalStoreError */
export async function openDataFile (fs: FileSystem, path: string): Promise<OpenFile | undefined> {
  let handle: FileHandle | undefined
  try {
    handle = await fs.open(path, 'r')
    const stats = await handle.stat()
    if (stats.isFile()) return openFile(handle, stats.size)
    await handle.close()
    return undefined
  } catch (cause) {
    await handle?.close().catch(() => {})
    if (errnoOf(cause) === 'ENOENT') return undefined
    throw toLocalStoreError(cause, 'The file could not be opened in local storage')
  }
}

function openFile (handle: FileHandle, size: number): OpenFile {
  let taken = false

  function take (range?: ByteRange): void {
    if (taken) throw new Error('the file has been streamed or closed already')
    if (range !== undefined && !(range.first >= 0 && range.first <= range.last && range.last < size)) {
      throw new RangeError(`the range must lie within the ${size} bytes of the file`)
    }
    taken = true
  }

  return {
    size,

    streamForReader (range) {
      take(range)
      return new LocalStream(handle, range === undefined ? { first: 0, end: size } : { first: range.first, end: range.last + 1 })
    },

    stream (range) {
      take(range)
      return handle.createReadStream(range === undefined ? {} : { start: range.first, end: range.last })
    },

    async close () {
      if (taken) return
      taken = true
      await handle.close()
    }
  }
}
