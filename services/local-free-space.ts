import type { FileSystem } from './local-directory.ts'
import { LocalStoreError } from './local-errors.ts'

/** What is free on the file system of the directory. */
export interface Room {
  /** Bytes that an ordinary process may still write. */
  readonly bytes: number
  /** Files that may still be made; Infinity if the file system has no such limit. */
  readonly inodes: number
}

export interface FreeSpace {
  /** Rejects when it cannot be measured. */
  measure (): Promise<Room>
  /**
   * Rejects with `disk_full` when taking `bytes` more would leave less than the minimum. What cannot be measured does not
   * stop an upload: the write itself will tell.
   */
  demand (bytes: number): Promise<void>
}

export function createFreeSpace (fs: FileSystem, directory: string, minFreeBytes: number): FreeSpace {
  async function measure (): Promise<Room> {
    const { bavail, bsize, files, ffree } = await fs.statfs(directory)
    // File systems that make inodes as they need them, such as btrfs, say that they have none at all.
    return { bytes: bavail * bsize, inodes: files > 0 ? ffree : Infinity }
  }

  async function demand (bytes: number): Promise<void> {
    if (minFreeBytes <= 0) return
    const free = await measure().catch(() => undefined)
    if (free === undefined || free.bytes - bytes >= minFreeBytes) return
    throw new LocalStoreError('The file could not be stored locally: the free space to keep would be used up', { error_code: 'disk_full' })
  }

  return { measure, demand }
}
