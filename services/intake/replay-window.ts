import type { Intake, Part } from './intake.ts'

interface Held {
  readonly part: Part
  stored: boolean
  /** False while a request may still read the buffer, or one failed: a socket may hold it. */
  reuse: boolean
}

/** The parts of one upload that are still in memory: its replay window. */
export class ReplayWindow {
  readonly #intake: Intake
  readonly #parts = new Map<number, Held>()
  #count = 0
  #isWhole = true

  constructor (intake: Intake) {
    this.#intake = intake
  }

  /** True while byte 0 and all after it are held, so that the file can be stored anew elsewhere. */
  get isWhole (): boolean { return this.#isWhole }

  /** The bytes held, in order; from byte 0 on while {@link isWhole}. */
  get bytes (): Uint8Array[] { return Array.from(this.#parts.values(), held => held.part.bytes) }

  /** Holds a part; returns its number, from 1 on. */
  add (part: Part): number {
    this.#parts.set(++this.#count, { part, stored: false, reuse: false })
    return this.#count
  }

  /** @param reuse whether nobody reads its buffer any more */
  markStored (number: number, reuse: boolean): void {
    const held = this.#parts.get(number)
    if (held !== undefined) Object.assign(held, { stored: true, reuse })
  }

  /** Marks all parts as stored, those that were given to another store before too. */
  markAllStored (): void {
    for (const held of this.#parts.values()) held.stored = true
  }

  /** Gives back the memory of what is stored, and from now on of each part as soon as it is. */
  releaseStored (): void {
    this.#intake.goByParts()
    for (const [number, held] of this.#parts) if (held.stored) this.#release(number, held)
  }

  /** Gives back all memory. */
  releaseAll (): void {
    for (const [number, held] of this.#parts) this.#release(number, held)
  }

  #release (number: number, held: Held): void {
    this.#isWhole = false
    this.#parts.delete(number)
    this.#intake.release(held.part, held.reuse)
  }
}
