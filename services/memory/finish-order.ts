/** What an upload holds, and what it may still take until it gives back. */
export interface Turn {
  readonly held: number
  readonly toGo: number
}

/**
 * The order in which all can finish, one after the other, with what is free and what those before have given back: the one that
 * needs least comes first. As long as there is such an order, nobody waits for ever (the banker's algorithm).
 */
export class FinishOrder {
  readonly #order: Turn[]
  /** What is there for the one at an index when all before it have given back. */
  readonly #there: number[] = []
  /** What can be taken away before the one at an index without anybody before it missing it. */
  readonly #spare: number[] = []

  constructor (free: number, turns: readonly Turn[]) {
    this.#order = [...turns].sort((a, b) => a.toGo - b.toGo)
    let there = free
    let spare = free
    for (const { held, toGo } of this.#order) {
      this.#there.push(there)
      this.#spare.push(spare)
      spare = Math.min(spare, there - toGo)
      there += held
    }
    this.#there.push(there)
    this.#spare.push(spare)
  }

  get isEmpty (): boolean { return this.#order.length === 0 }

  /** What can be taken away for good; negative if not all can finish even so. */
  get spare (): number { return this.#spare.at(-1)! }

  /** Whether all can still finish when `bytes` go to one that may take `toGo` in all, these included. */
  allows (bytes: number, toGo: number): boolean {
    // Where it will stand when it has them.
    const left = toGo - bytes
    let index = 0
    let end = this.#order.length
    while (index < end) {
      const middle = (index + end) >> 1
      if (this.#order[middle]!.toGo < left) index = middle + 1
      else end = middle
    }
    return bytes <= this.#spare[index]! && toGo <= this.#there[index]!
  }

  /** Whether one that may take `toGo` could finish first. */
  isFirst (toGo: number): boolean {
    return toGo <= (this.#order[0]?.toGo ?? Infinity) && toGo <= this.#there[0]!
  }
}
