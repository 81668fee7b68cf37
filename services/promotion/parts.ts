import type { Readable } from 'node:stream'
import { bufferSize } from '../memory/buffer-pool.ts'
import type { BufferPool } from '../memory/buffer-pool.ts'
import type { OpenFile } from '../local/store.ts'
import type { PromotionMemory } from './memory.ts'

export interface PromotionPartsOptions {
  /** Closed by {@link PromotionParts}. */
  readonly file: OpenFile
  /** Largest part, bytes. */
  readonly partBytes: number
  /** Bytes of the first part that are not in the file. Default 0. */
  readonly bytesBefore?: number
  readonly memory: PromotionMemory
  readonly pool: BufferPool
  /** Aborts the waiting for memory. */
  readonly signal: AbortSignal
}

const NOTHING = new Uint8Array(0)

/** Reads a local file part by part into one buffer, whose memory the account of all uploads grants. */
export class PromotionParts {
  readonly #payBack: () => void
  readonly #pool: BufferPool
  readonly #stream: Readable
  readonly #chunks: AsyncIterator<Buffer>
  #buffer: Buffer
  #rest: Buffer = Buffer.alloc(0)
  #bytesRead = 0

  private constructor ({ file, pool }: PromotionPartsOptions, payBack: () => void, buffer: Buffer) {
    this.#payBack = payBack
    this.#pool = pool
    this.#buffer = buffer
    this.#stream = file.stream()
    this.#chunks = this.#stream[Symbol.asyncIterator]()
  }

  /** Waits for its memory first. @throws the reason of `signal` */
  static async open (options: PromotionPartsOptions): Promise<PromotionParts> {
    const { file, partBytes, memory, pool, signal } = options
    const size = bufferSize(Math.min(file.size + (options.bytesBefore ?? 0), partBytes))
    try {
      const payBack = await memory.take(size, signal)
      return new PromotionParts(options, payBack, pool.lend(size))
    } catch (error) {
      await file.close()
      throw error
    }
  }

  get bytesRead (): number { return this.#bytesRead }

  /**
   * The next part, shorter than `length` only at the end of the file. The next call overwrites it.
   * @param before what the part begins with, which is not in the file
   * @throws what the file system threw
   */
  async next (length: number, before: Uint8Array = NOTHING): Promise<Uint8Array> {
    this.#buffer.set(before)
    let filled = before.byteLength
    while (filled < length) {
      if (this.#rest.byteLength === 0) {
        const { done, value } = await this.#chunks.next()
        if (done === true) break
        this.#rest = value
      }
      const chunk = this.#rest.subarray(0, length - filled)
      this.#rest = this.#rest.subarray(chunk.byteLength)
      this.#buffer.set(chunk, filled)
      filled += chunk.byteLength
    }
    this.#bytesRead += filled - before.byteLength
    return this.#buffer.subarray(0, filled)
  }

  /** Gives the next part another buffer, as a socket, say, may still read this one. */
  dropBuffer (): void {
    const size = this.#buffer.byteLength
    this.#pool.takeBack(this.#buffer, false)
    this.#buffer = this.#pool.lend(size)
  }

  /** @param reuse whether nothing reads the buffer any more */
  close (reuse: boolean): void {
    this.#stream.on('error', () => {}).destroy()
    this.#pool.takeBack(this.#buffer, reuse)
    this.#payBack()
  }
}
