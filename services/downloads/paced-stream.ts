import { Readable } from 'node:stream'
import { whileStanding } from './standing.ts'

// What a socket can't hand to the kernel stays in memory as long as its reader stands still, with all of the buffer that it is a part of.
const PIECE_BYTES = 16_384 // 16 KiB
// Pieces cost time. The kernel takes some MiB for a reader that takes nothing; who is further does read.
const IN_PIECES_BYTES = 16_777_216 // 16 MiB
const NOTHING = Buffer.alloc(0)

/** Bytes from `first` on, up to but without `end`. */
export interface Span {
  readonly first: number
  readonly end: number
}

/**
 * Bytes of a file at the pace of a reader who may stand still for long. They are handed on one chunk at a time, in small pieces at first. After a
 * while without one of them whatever else is held is dropped, to be fetched again when the reader goes on.
 *
 * It ends well only after the last byte.
 */
export abstract class PacedStream extends Readable {
  readonly #first: number
  readonly #end: number
  readonly #stopWatch: () => void
  #position: number
  #rest: Buffer = NOTHING
  #isWanted = false

  /** @param parkMs milliseconds after which what a standing reader holds is let go */
  constructor ({ first, end }: Span, parkMs: number) {
    super({ highWaterMark: 0 })
    this.#position = this.#first = first
    this.#end = end
    this.#stopWatch = whileStanding({
      parkMs,
      position: () => this.#position,
      park: () => {
        if (this.#isWanted) return // not the reader stands, but the store
        this.#rest = NOTHING
        this.park()
      },
    })
  }

  override _read (): void {
    this.#isWanted = true
    this.#goOn()
  }

  override _destroy (error: Error | null, done: (error?: Error | null) => void): void {
    this.#stopWatch()
    this.#rest = NOTHING
    done(error)
  }

  /** Fetches bytes from `position` on and gives them to `give`. At the end there are none; then it waits until that is no longer open. */
  protected abstract fetch (position: number, end: number): void

  /** Whether there is something that has to end, once all bytes are there, before the stream does. */
  protected abstract isOpen (): boolean

  /** Lets go of what is held. */
  protected abstract park (): void

  /** Takes bytes that were fetched; none may be left of those before. */
  protected give (chunk: Buffer): void {
    this.#rest = chunk.subarray(0, this.#end - this.#position)
    this.#goOn()
  }

  /** Position of the next byte that is to be fetched. */
  protected get fetched (): number {
    return this.#position + this.#rest.byteLength
  }

  /** Fetches if the reader waits for it. */
  protected goOn (): void {
    if (this.#rest.byteLength === 0) this.#goOn()
  }

  #goOn (): void {
    if (!this.#isWanted || this.destroyed) return
    if (this.#rest.byteLength > 0) {
      const piece = this.#takePiece()
      this.#isWanted = false
      this.#position += piece.byteLength
      this.push(piece)
    } else if (this.#position < this.#end || this.isOpen()) {
      this.fetch(this.#position, this.#end)
    } else {
      this.push(null)
    }
  }

  #takePiece (): Buffer {
    const rest = this.#rest
    const isSmall = rest.byteLength <= PIECE_BYTES && rest.buffer.byteLength <= PIECE_BYTES
    if (isSmall || this.#position - this.#first > IN_PIECES_BYTES) {
      this.#rest = NOTHING
      return rest
    }
    const piece = Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, rest.byteLength))
    rest.copy(piece)
    this.#rest = rest.subarray(piece.byteLength)
    return piece
  }
}
