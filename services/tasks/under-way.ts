/** What is under way and has an end that can be waited for. */
export class UnderWay<Item> {
  readonly #items = new Set<Item>()
  #onIdle: () => void = () => {}

  get size (): number { return this.#items.size }

  add (item: Item): void {
    this.#items.add(item)
  }

  done (item: Item): void {
    this.#items.delete(item)
    if (this.#items.size === 0) this.#onIdle()
  }

  /** Resolves when nothing is under way; `end` is called for what still is after `graceMs`. Nothing may be added any more. */
  async drain (graceMs: number, end: (item: Item) => void): Promise<void> {
    if (this.#items.size === 0) return
    const idle = new Promise<void>(resolve => { this.#onIdle = resolve })
    const timer = setTimeout(() => this.#items.forEach(end), graceMs)
    await idle
    clearTimeout(timer)
  }
}
