import type { FileSystem } from '../../disk/file-system.ts'
import { LocalStoreError } from '../errors.ts'

/** What is free on the file system of the directory. */
export interface Room {
  /** Bytes that an ordinary process may still write. */
  readonly bytes: number
  /** Files that can still be created; Infinity if the file system has no such limit. */
  readonly inodes: number
}

/** Bytes that a file will still need, reserved for it. */
export interface Reservation {
  /** Bytes that are reserved and not written yet. */
  readonly bytes: number
  /** Reserves more. @throws LocalStoreError `disk_full`; what was reserved before stays reserved */
  add (bytes: number): Promise<void>
  /** Says that so many of them were written: the disk shows them as used now. */
  wrote (bytes: number): void
  /** Releases what is left. It may be called again. */
  release (): void
}

export interface FreeSpace {
  /** Rejects if it cannot be measured. */
  measure (): Promise<Room>
  /**
   * Reserves bytes for one file. If the free space cannot be measured, the upload goes on: the write itself will tell.
   * @throws LocalStoreError `disk_full` if less than the minimum would be left once all reserved bytes are written
   */
  reserve (bytes: number): Promise<Reservation>
}

/** If no space is to be kept, the disk itself says when it is full. */
const NO_LIMIT: Reservation = { bytes: Infinity, add: async () => {}, wrote () {}, release () {} }

export function createFreeSpace (fs: FileSystem, directory: string, minFreeBytes: number): FreeSpace {
  /** Reserved for all files together. */
  let reserved = 0
  /** Written out of reservations since the start. */
  let written = 0

  async function measure (): Promise<Room> {
    const { bavail, bsize, files, ffree } = await fs.statfs(directory)
    // File systems that create inodes as needed, such as btrfs, say that they have none at all.
    return { bytes: bavail * bsize, inodes: files > 0 ? ffree : Infinity }
  }

  async function take (bytes: number): Promise<void> {
    const writtenBefore = written
    const free = (await measure().catch(() => undefined))?.bytes ?? Infinity
    // Bytes written meanwhile are not reserved any more, and perhaps not measured yet.
    if (free - reserved - (written - writtenBefore) - bytes < minFreeBytes) {
      throw new LocalStoreError('The file could not be stored locally: the free space to keep would be used up', { error_code: 'disk_full' })
    }
    reserved += bytes
  }

  async function reserve (bytes: number): Promise<Reservation> {
    if (minFreeBytes <= 0) return NO_LIMIT
    await take(bytes)
    let own = bytes

    function giveBack (bytes: number): void {
      own -= bytes
      reserved -= bytes
    }

    return {
      get bytes () { return own },

      async add (bytes) {
        await take(bytes)
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
