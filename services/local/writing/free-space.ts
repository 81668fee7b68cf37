import type { FileSystem } from '../../disk/file-system.ts'
import { LocalStoreError } from '../errors.ts'

/** What is free on the file system of the directory. */
export interface Room {
  /** Bytes that an ordinary process may still write. */
  readonly bytes: number
  /** Files that may still be made; Infinity if the file system has no such limit. */
  readonly inodes: number
}

/** Bytes that a file is still going to take, which nobody else may count on. */
export interface Reservation {
  /** Bytes that are set aside and not written yet. */
  readonly bytes: number
  /** Sets more aside. @throws LocalStoreError `disk_full`, and what was set aside before stays so */
  add (bytes: number): Promise<void>
  /** Says that so many of them were written: the disk shows them as used by now. */
  wrote (bytes: number): void
  /** Gives back what is left. It may be called again. */
  release (): void
}

export interface FreeSpace {
  /** Rejects when it cannot be measured. */
  measure (): Promise<Room>
  /**
   * Sets bytes aside for one file. What cannot be measured does not stop an upload: the write itself will tell.
   * @throws LocalStoreError `disk_full` when less than the minimum would be left once all that is set aside is written
   */
  reserve (bytes: number): Promise<Reservation>
}

/** Where nothing is to be kept, the disk itself says when it is full. */
const NO_LIMIT: Reservation = { bytes: Infinity, add: async () => {}, wrote () {}, release () {} }

export function createFreeSpace (fs: FileSystem, directory: string, minFreeBytes: number): FreeSpace {
  /** Set aside by all files together. */
  let reserved = 0
  /** Written out of reservations since the start. */
  let written = 0

  async function measure (): Promise<Room> {
    const { bavail, bsize, files, ffree } = await fs.statfs(directory)
    // File systems that make inodes as they need them, such as btrfs, say that they have none at all.
    return { bytes: bavail * bsize, inodes: files > 0 ? ffree : Infinity }
  }

  async function setAside (bytes: number): Promise<void> {
    const writtenBefore = written
    const free = (await measure().catch(() => undefined))?.bytes ?? Infinity
    // What was written meanwhile is not reserved any more, and perhaps not measured yet.
    if (free - reserved - (written - writtenBefore) - bytes < minFreeBytes) {
      throw new LocalStoreError('The file could not be stored locally: the free space to keep would be used up', { error_code: 'disk_full' })
    }
    reserved += bytes
  }

  async function reserve (bytes: number): Promise<Reservation> {
    if (minFreeBytes <= 0) return NO_LIMIT
    await setAside(bytes)
    let own = bytes

    function giveBack (bytes: number): void {
      own -= bytes
      reserved -= bytes
    }

    return {
      get bytes () { return own },

      async add (bytes) {
        await setAside(bytes)
        own += bytes
      },

      wrote (bytes) {
        const taken = Math.min(bytes, own)
        written += taken
        giveBack(taken)
      },

      release: () => giveBack(own)
    }
  }

  return { measure, reserve }
}
