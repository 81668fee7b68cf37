/** Things that are under way, and whose end can be awaited. */
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

  /** Resolves when nothing is under way; after `graceMs` it calls `abort` for what still is. Nothing may be added any more. */
  async stop (graceMs: number, abort: (item: Item) => void): Promise<void> {
    if (this.#items.size === 0) return
    const idle = new Promise<void>(resolve => { this.#onIdle = resolve })
    const timer = setTimeout(() => this.#items.forEach(abort), graceMs)
    await idle
    clearTimeout(timer)
  }
}
