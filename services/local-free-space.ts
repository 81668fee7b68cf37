import type { FileSystem } from './local-directory.ts'
import { LocalStoreError } from './local-errors.ts'

export interface FreeSpace {
  /** Bytes an ordinary process may still write on the file system of the directory. Rejects when it cannot be measured. */
  measure (): Promise<number>
  /**
   * Rejects with `disk_full` when taking `bytes` more would leave less than the minimum. What cannot be measured does not
   * stop an upload: the write itself will tell.
   */
  demand (bytes: number): Promise<void>
}

export function createFreeSpace (fs: FileSystem, directory: string, minFreeBytes: number): FreeSpace {
  async function measure (): Promise<number> {
    const { bavail, bsize } = await fs.statfs(directory)
    return bavail * bsize
  }

  async function demand (bytes: number): Promise<void> {
    if (minFreeBytes <= 0) return
    const free = await measure().catch(() => undefined)
    if (free === undefined || free - bytes >= minFreeBytes) return
    throw new LocalStoreError('The file could not be stored locally: the free space to keep would be used up', { error_code: 'disk_full' })
  }

  return { measure, demand }
}
