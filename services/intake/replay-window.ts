import type { Intake, Part } from './intake.ts'
import type { Piece } from './sinks/sink.ts'

interface Held {
  readonly part: Part
  isStored: boolean
  /** False once a request has failed that a socket may still read the buffer for. */
  reuse: boolean
}

/** The pieces of one upload that are still in memory: its replay window. */
export class ReplayWindow {
  readonly #intake: Intake
  readonly #pieces = new Map<number, Held>()
  #count = 0
  #isWhole = true

  constructor (intake: Intake) {
    this.#intake = intake
  }

  /** True while byte 0 and all after it are held, so that the file can be stored anew elsewhere. */
  get isWhole (): boolean { return this.#isWhole }

  /** Pieces that have come. */
  get count (): number { return this.#count }

  /** The bytes held, in order; from byte 0 on while {@link isWhole}. */
  get bytes (): Uint8Array[] { return Array.from(this.#pieces.values(), held => held.part.bytes) }

  /** What the present store does not hold safely. */
  get unstored (): Piece[] {
    return [...this.#pieces].filter(([, { isStored }]) => !isStored).map(([number, { part: { bytes } }]) => ({ number, bytes }))
  }

  /** Holds a piece. */
  add (part: Part): Piece {
    this.#pieces.set(++this.#count, { part, isStored: false, reuse: true })
    return { number: this.#count, bytes: part.bytes }
  }

  /** @param reuse whether nobody reads its buffer any more */
  markStored (number: number, reuse: boolean): void {
    const held = this.#pieces.get(number)
    if (held === undefined) return
    held.reuse &&= reuse
    if (!held.isStored) this.#intake.keep(held.part, true)
    held.isStored = true
  }

  /** Another store follows one that failed. @param isNew whether it has nothing of the file: else what was stored still is */
  changeStore (isNew: boolean): void {
    for (const held of this.#pieces.values()) {
      held.reuse &&= held.isStored
      if (!isNew || !held.isStored) continue
      held.isStored = false
      this.#intake.keep(held.part, false)
    }
  }

  /** Gives back the memory of what is stored, and from now on of each piece as soon as it is. */
  releaseStored (): void {
    this.#intake.goByParts()
    for (const [number, held] of this.#pieces) if (held.isStored) this.#release(number, held)
  }

  /** Gives back all memory. */
  releaseAll (): void {
    for (const [number, held] of this.#pieces) this.#release(number, held)
  }

  #release (number: number, { part, isStored, reuse }: Held): void {
    this.#isWhole = false
    this.#pieces.delete(number)
    if (isStored) this.#intake.keep(part, false)
    this.#intake.release(part, isStored && reuse)
  }
}
