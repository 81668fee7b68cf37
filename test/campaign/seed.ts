/** Everything random of a campaign comes from one of these: the same seed gives the same numbers (mulberry32). */
export class Random {
  #state: number

  constructor (seed: number) {
    this.#state = seed | 0
  }

  /** A number in [0, 1). */
  next (): number {
    this.#state = (this.#state + 0x6D2B79F5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }

  /** An integer from `first` to `last`, both included. */
  between (first: number, last: number): number {
    return first + Math.floor(this.next() * (last - first + 1))
  }

  chance (probability: number): boolean {
    return this.next() < probability
  }

  pick <T> (list: readonly T[]): T {
    return list[Math.floor(this.next() * list.length)]!
  }

  /** One of the values, each as often as its weight says. */
  weighted <T> (choices: ReadonlyArray<readonly [weight: number, value: T]>): T {
    let left = this.next() * choices.reduce((sum, [weight]) => sum + weight, 0)
    for (const [weight, value] of choices) {
      left -= weight
      if (left < 0) return value
    }
    return choices.at(-1)![1]
  }
}
