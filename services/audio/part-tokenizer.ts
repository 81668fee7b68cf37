import { setImmediate } from 'node:timers/promises'
import { AbstractTokenizer, EndOfStreamError } from 'strtok3'
import type { IFileInfo, IReadChunkOptions } from 'strtok3'
import { dropBefore, partsLength } from './part-bytes.ts'

// Reads of memory resolve without leaving the microtask queue, so a parser would never let anything else run.
const READS_PER_TURN = 250

/** What one parse may do before it is stopped. */
export interface ReadBudget {
  /** Reads and peeks. */
  reads: number
  /** Bytes copied out by all reads together. What is skipped is free. */
  bytes: number
  /** Bytes of one read, also the largest buffer that a length found in the file can make a parser allocate. */
  readBytes: number
}

/**
 * Gives a parser a file that lies in memory as consecutive parts, without joining them. The parts may be the file's beginning
 * only: reading beyond them is the end of the file, skipping is possible up to its real size.
 */
export class PartTokenizer extends AbstractTokenizer {
  override fileInfo: IFileInfo
  readonly #parts: readonly Uint8Array[]
  readonly #held: number
  readonly #budget: ReadBudget
  #reads = 0
  #bytes = 0

  /** @param fileInfo `size`: of the whole file; left out if it is unknown */
  constructor (parts: readonly Uint8Array[], fileInfo: IFileInfo, budget: ReadBudget) {
    super({ maxBufferSize: budget.readBytes })
    this.#parts = parts
    this.#held = partsLength(parts)
    this.#budget = budget
    this.fileInfo = fileInfo
  }

  /** Only a whole file has its end in reach, which is what parsers use random access for (ID3v1, APE). */
  override supportsRandomAccess (): boolean {
    return this.fileInfo.size === this.#held
  }

  setPosition (position: number): void {
    this.validateLength(position, 'position')
    this.position = position
  }

  override async readBuffer (target: Uint8Array, options?: IReadChunkOptions): Promise<number> {
    const position = options?.position ?? this.position
    const count = await this.peekBuffer(target, options)
    this.position = position + count
    return count
  }

  override async peekBuffer (target: Uint8Array, options?: IReadChunkOptions): Promise<number> {
    const { length, position, mayBeLess } = this.normalizeOptions(target, options)
    const count = Math.max(0, Math.min(length, this.#held - position))
    if (count < length && mayBeLess !== true) throw new EndOfStreamError()
    await this.#spend(count)
    let copied = 0
    for (const view of dropBefore(this.#parts, position, position + count)) {
      target.set(view, copied)
      copied += view.length
    }
    return count
  }

  async #spend (count: number): Promise<void> {
    this.#reads += 1
    this.#bytes += count
    const { reads, bytes, readBytes } = this.#budget
    if (this.#reads > reads || this.#bytes > bytes || count > readBytes) throw new Error('The file asks for too much work') // no end of file: a parser must not take it for one
    if (this.#reads % READS_PER_TURN === 0) await setImmediate()
  }
}
