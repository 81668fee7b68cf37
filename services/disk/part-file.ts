import type { FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { patient } from './bounded-file-system.ts'
import { DiskTimeoutError, errnoOf } from './errors.ts'
import { syncDirectory, type FileSystem } from './file-system.ts'

export interface PublishOptions {
  readonly giveName?: () => Promise<void>
  readonly warn?: (err: unknown, message: string) => void
}

/**
 * A file on its way to its final name. It knows every name that it may have, so that `remove` leaves none of them, whenever the
 * failure came. Calls must not overlap: its writer takes turns.
 */
export class PartFile {
  /** The name it is written under. */
  readonly path: string
  readonly #fs: FileSystem
  readonly #handle: FileHandle
  readonly #names: string[]
  /** Operations that hang, and may still be carried out when the disk answers again. */
  readonly #late: Promise<void>[] = []
  #length = 0
  #touching = false

  private constructor (fs: FileSystem, path: string, handle: FileHandle) {
    this.#fs = fs
    this.path = path
    this.#handle = handle
    this.#names = [path]
  }

  /** Creates the file. EEXIST if it exists: then it belongs to another writer. */
  static async create (fs: FileSystem, path: string): Promise<PartFile> {
    return new PartFile(fs, path, await fs.open(path, 'wx', 0o600))
  }

  get length (): number {
    return this.#length
  }

  /** Resolves when every byte is written: signals, quotas and nearly full disks may cut a write short. */
  async write (bytes: Uint8Array): Promise<void> {
    let offset = 0
    while (offset < bytes.byteLength) {
      const { bytesWritten } = await this.#noted(this.#handle.write(bytes, offset, bytes.byteLength - offset, this.#length))
      if (bytesWritten === 0) {
        throw Object.assign(new Error('the file system takes no more bytes'), { code: 'EIO', syscall: 'write' })
      }
      offset += bytesWritten
      this.#length += bytesWritten
    }
  }

  async sync (): Promise<void> {
    await this.#noted(this.#handle.sync())
  }

  /** Gives the file its final name. ENOENT if the part file is gone. */
  async rename (finalPath: string): Promise<void> {
    // Noted before the call: on network file systems a rename can succeed and be reported as failed.
    this.#names.push(finalPath)
    await this.#noted(this.#fs.rename(this.path, finalPath))
  }

  /**
   * Writes a value as JSON, gives the file its final name and closes it, durably: the name is that of a whole file, or it is not
   * there. Whatever this throws, nothing of the file is left.
   * @param giveName by default a rename, which replaces a file that has the name already
   * @param warn called with what could not be cleaned up
   */
  async publish (value: object, finalPath: string, { giveName = () => this.rename(finalPath), warn = () => {} }: PublishOptions = {}): Promise<void> {
    try {
      await this.write(Buffer.from(`${JSON.stringify(value)}\n`))
      await this.sync()
      await giveName()
      await syncDirectory(this.#fs, dirname(finalPath))
    } catch (error) {
      for (const err of await this.remove()) warn(err, 'a note that could not be written could not be cleaned up')
      throw error
    }
    // The bytes were synced before; a failing close takes nothing back.
    await this.close().catch((err: unknown) => warn(err, 'a stored file could not be closed'))
  }

  /** Shows other processes that the owner lives. Never rejects: at worst a sweep removes the file, and `rename` reports that. */
  async touch (): Promise<void> {
    if (this.#touching) return // the disk is slower than the heartbeat
    this.#touching = true
    const now = new Date()
    await this.#handle.utimes(now, now).catch(() => {})
    this.#touching = false
  }

  /** Whether the file of this name is this very one: another process may have taken the name over. */
  async isAt (path: string): Promise<boolean> {
    const [own, there] = await Promise.all([this.#handle.stat({ bigint: true }), this.#fs.lstat(path, { bigint: true })])
    return own.ino === there.ino && own.dev === there.dev
  }

  async close (): Promise<void> {
    await this.#handle.close()
  }

  /**
   * Closes the file and removes all its names. Tries everything, never rejects. It does not wait for a disk that hangs: the names
   * are removed when the disk answers, after the operations that were under way.
   * @returns what failed; empty if nothing is left
   */
  async remove (): Promise<unknown[]> {
    const failures: unknown[] = []
    const note = (error: unknown): void => {
      if (errnoOf(error) !== 'ENOENT') failures.push(error)
    }
    if (this.#late.length === 0) {
      await this.#noted(this.close()).catch(note)
      for (const name of this.#names) {
        if (this.#late.length === 0) await this.#noted(this.#fs.unlink(name)).catch(note)
      }
    } else {
      await this.close().catch(note)
    }
    if (this.#late.length > 0) this.#removeLate().catch(() => {}) // the sweep of the next start removes part files
    return failures
  }

  async #removeLate (): Promise<void> {
    await Promise.all(this.#late)
    for (const name of this.#names) await patient(this.#fs).unlink(name).catch(() => {})
  }

  async #noted<T> (operation: Promise<T>): Promise<T> {
    return await operation.catch((error: unknown) => {
      if (error instanceof DiskTimeoutError) this.#late.push(error.settled)
      throw error
    })
  }
}
