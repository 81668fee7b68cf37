import { DiskTimeoutError, errnoOf } from '../disk/errors.ts'
import type { FileSystem } from '../disk/file-system.ts'
import type { FreeSpace } from './writing/free-space.ts'

/** The state of the local directory. */
export interface LocalStoreStatus {
  /** Whether the directory can take a file now: its disk answers, it is writable, there is room beyond `minFreeBytes`, and inodes are free. */
  writable: boolean
  /** Bytes free on its disk; 0 if that can't be measured. */
  free_bytes: number
  /** Files for which its disk has inodes; 0 if that can't be measured, Infinity if there is no such limit. */
  free_inodes: number
}

/** A file and its receipt. */
const INODES_OF_FILE = 2

/** `/ready` answers within two seconds, whatever the disk does. */
const ANSWER_MS = 1_500

const NO_ANSWER: LocalStoreStatus = { writable: false, free_bytes: 0, free_inodes: 0 }

export interface StatusOptions {
  fs: FileSystem
  /** Absolute path. */
  root: string
  minFreeBytes: number
  freeSpace: FreeSpace
  makeDirectory: (directory: string) => Promise<void>
  /** Whether operations on the disk are overdue. Default: none are. */
  isHanging?: () => boolean
}

/** Returns a function that tells the status. It never rejects; calls at the same time share one answer. */
export function createStatus ({ fs, root, minFreeBytes, freeSpace, makeDirectory, isHanging = () => false }: StatusOptions): () => Promise<LocalStoreStatus> {
  let statusNow: Promise<LocalStoreStatus> | undefined
  let last: LocalStoreStatus | undefined

  async function reach (): Promise<void> {
    try {
      await fs.access(`${root}/.`, fs.constants.W_OK | fs.constants.X_OK)
    } catch (error) {
      // The next file would make a missing directory again, but none may come while the store is reported as unusable.
      if (errnoOf(error) !== 'ENOENT') throw error
      await makeDirectory(root)
    }
  }

  async function measure (): Promise<LocalStoreStatus> {
    const accessible = await reach().then(() => true, () => false)
    const free = await freeSpace.measure().catch((error: unknown) => {
      if (error instanceof DiskTimeoutError) throw error
      return undefined
    })
    const room = free === undefined || (free.bytes > 0 && free.bytes >= minFreeBytes && free.inodes >= INODES_OF_FILE)
    last = { writable: accessible && room, free_bytes: free?.bytes ?? 0, free_inodes: free?.inodes ?? 0 }
    return last
  }

  async function measureInTime (): Promise<LocalStoreStatus> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<undefined>(resolve => { timer = setTimeout(() => resolve(undefined), ANSWER_MS) })
    try {
      // A disk that is only busy, for example syncing large files for seconds, is reported as before.
      return await Promise.race([measure(), late]) ?? (isHanging() ? NO_ANSWER : last ?? NO_ANSWER)
    } catch {
      return NO_ANSWER
    } finally {
      clearTimeout(timer)
    }
  }

  return function status () {
    // Shared, so that checks of a hanging disk do not pile up in the thread pool.
    statusNow ??= measureInTime().finally(() => { statusNow = undefined })
    return statusNow
  }
}
