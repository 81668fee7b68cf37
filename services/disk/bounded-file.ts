import type { FileHandle } from 'node:fs/promises'
import { Readable } from 'node:stream'

/** Runs one operation within its deadline. */
export type RunBounded = <T>(call: string, operate: () => Promise<T>) => Promise<T>

const READ_BYTES = 65_536 // 64 KiB

/** The part of Node's file handle that is used here, each operation with its deadline. */
export class BoundedFile implements Pick<FileHandle, 'fd' | 'read' | 'write' | 'writeFile' | 'sync' | 'utimes' | 'stat' | 'close'> {
  readonly #handle: FileHandle
  readonly #run: RunBounded
  readonly #runPatiently: RunBounded
  /** Operations that callers wait for. */
  readonly #asked = new Set<Promise<unknown>>()
  /** Operations that have begun and not returned, overdue ones included. */
  #underWay = 0
  #onIdle = (): void => {}

  constructor (handle: FileHandle, run: RunBounded, runPatiently: RunBounded) {
    this.#handle = handle
    this.#run = run
    this.#runPatiently = runPatiently
  }

  get fd (): number { return this.#handle.fd }

  readonly read = ((...values: Parameters<FileHandle['read']>) => this.#operate('read', () => this.#handle.read(...values))) as FileHandle['read']

  readonly write = ((...values: Parameters<FileHandle['write']>) => this.#operate('write', () => this.#handle.write(...values))) as FileHandle['write']

  readonly stat = ((...values: Parameters<FileHandle['stat']>) => this.#operate('fstat', () => this.#handle.stat(...values))) as FileHandle['stat']

  async writeFile (...values: Parameters<FileHandle['writeFile']>): Promise<void> {
    await this.#operate('write', () => this.#handle.writeFile(...values))
  }

  async sync (): Promise<void> {
    await this.#operate('fsync', () => this.#handle.sync())
  }

  async utimes (...values: Parameters<FileHandle['utimes']>): Promise<void> {
    await this.#operate('utime', () => this.#handle.utimes(...values))
  }

  /** If an operation hangs, this resolves nevertheless, and the file is closed when the operation returns: its number must not be reused before. */
  async close (): Promise<void> {
    await Promise.allSettled(this.#asked)
    if (this.#underWay === 0) return await this.#run('close', () => this.#handle.close())
    this.#onIdle = () => { this.#runPatiently('close', () => this.#handle.close()).catch(() => {}) }
  }

  /** The bytes from `start` to `end`, both inclusive. The stream closes the file, however it ends. */
  createReadStream ({ start = 0, end = Infinity }: { start?: number, end?: number } = {}): Readable {
    const file = this
    let position = start
    return new Readable({
      highWaterMark: READ_BYTES,
      read () {
        const length = Math.min(READ_BYTES, end - position + 1)
        if (length <= 0) {
          this.push(null)
          return
        }
        file.read(Buffer.allocUnsafeSlow(length), 0, length, position).then(({ bytesRead, buffer }) => {
          position += bytesRead
          this.push(bytesRead === 0 ? null : buffer.subarray(0, bytesRead))
        }, (error: Error) => this.destroy(error))
      },
      destroy (error, done) {
        file.close().then(() => done(error), (closeError: Error) => done(error ?? closeError))
      },
    })
  }

  #operate<T> (call: string, operate: () => Promise<T>): Promise<T> {
    const asked = this.#run(call, () => {
      this.#underWay++
      const running = operate()
      running.then(this.#returned, this.#returned)
      return running
    })
    this.#asked.add(asked)
    const answered = (): void => { this.#asked.delete(asked) }
    asked.then(answered, answered)
    return asked
  }

  readonly #returned = (): void => {
    if (--this.#underWay === 0) this.#onIdle()
  }
}
