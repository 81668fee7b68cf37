/** What happened in a campaign, by name. */
export class Tally {
  readonly #counts = new Map<string, number>()

  count (what: string, times = 1): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + times)
  }

  add (other: Tally): void {
    for (const [what, times] of other.#counts) this.count(what, times)
  }

  get (what: string): number {
    return this.#counts.get(what) ?? 0
  }

  toString (): string {
    return [...this.#counts].sort(([a], [b]) => a < b ? -1 : 1).map(([what, times]) => `${what} ${times}`).join(', ')
  }
}
