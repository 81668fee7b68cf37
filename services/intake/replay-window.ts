import type { Intake, Part } from './intake.ts'

interface Held {
  readonly part: Part
  stored: boolean
  /** False while a request may still read the buffer, or where one failed: a socket may hold it. */
  reuse: boolean
}

/** The parts of one upload that are still in memory: its replay window. */
export class HeldParts {
  readonly #intake: Intake
  readonly #parts = new Map<number, Held>()
  #count = 0
  #whole = true

  constructor (intake: Intake) {
    this.#intake = intake
  }

  /** True while byte 0 and all after it are held, so that the file can be stored anew elsewhere. */
  get whole (): boolean { return this.#whole }

  /** The bytes held, in order; from byte 0 on while {@link whole}. */
  get bytes (): Uint8Array[] { return Array.from(this.#parts.values(), held => held.part.bytes) }

  /** Holds a part; returns its number, from 1 on. */
  add (part: Part): number {
    this.#parts.set(++this.#count, { part, stored: false, reuse: false })
    return this.#count
  }

  /** Notes that a part is stored; `reuse` says that nobody reads its buffer any more. */
  stored (number: number, reuse: boolean): void {
    const held = this.#parts.get(number)
    if (held !== undefined) Object.assign(held, { stored: true, reuse })
  }

  /** Notes that all parts are stored, wherever they were given to before. */
  allStored (): void {
    for (const held of this.#parts.values()) held.stored = true
  }

  /** Gives up the memory of what is stored, and from now on of each part when it is. */
  releaseStored (): void {
    this.#intake.goByParts()
    for (const [number, held] of this.#parts) if (held.stored) this.#release(number, held)
  }

  /** Gives up all memory. */
  releaseAll (): void {
    for (const [number, held] of this.#parts) this.#release(number, held)
  }

  #release (number: number, held: Held): void {
    this.#whole = false
    this.#parts.delete(number)
    this.#intake.release(held.part, held.reuse)
  }
}
