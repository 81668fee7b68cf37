import type { PendingFile } from '../local/store.ts'

interface Failures {
  readonly count: number
  /** Number of the pass that may try the file again. */
  readonly nextPass: number
}

/** Should ever more fail, the first ones are tried sooner than they need be. */
const MOST_REMEMBERED = 10_000

/**
 * In which order a pass takes files, and which it leaves out: one that fails must hold up no other. What B2 failed goes
 * to the end of the next passes; what fails for reasons of its own is left out of one pass, then two, then four and so on.
 */
export class PromotionQueue {
  readonly #maxFailures: number
  readonly #failures = new Map<string, Failures>()
  readonly #last = new Set<string>()
  #pass = 0

  constructor (maxFailures: number) {
    this.#maxFailures = maxFailures
  }

  /** Begins a pass: gives its files (which come oldest first) in the order in which to take them. */
  async * begin (files: AsyncIterable<PendingFile>): AsyncGenerator<PendingFile> {
    this.#pass++
    const last: PendingFile[] = []
    const away = new Set([...this.#failures.keys(), ...this.#last])
    for await (const file of files) {
      away.delete(file.key)
      if (this.#last.has(file.key)) last.push(file)
      else yield file
    }
    for (const key of away) this.forgive(key)
    yield * last
  }

  /** True where the file failed lately and this pass leaves it out. */
  isLeftOut (key: string): boolean {
    return this.#pass < (this.#failures.get(key)?.nextPass ?? 0)
  }

  /** B2 failed the file, though perhaps not because of it. */
  failedByB2 (key: string): void {
    this.#last.add(key)
    if (this.#last.size > MOST_REMEMBERED) this.#last.delete(this.#last.values().next().value!)
  }

  /** The file failed for a reason of its own. True where that was once too often. */
  failed (key: string): boolean {
    const count = (this.#failures.get(key)?.count ?? 0) + 1
    this.#failures.set(key, { count, nextPass: this.#pass + 1 + 2 ** (count - 1) })
    if (this.#failures.size > MOST_REMEMBERED) this.#failures.delete(this.#failures.keys().next().value!)
    return count >= this.#maxFailures
  }

  /** Nothing is held against the file any more. */
  forgive (key: string): void {
    this.#failures.delete(key)
    this.#last.delete(key)
  }
}
