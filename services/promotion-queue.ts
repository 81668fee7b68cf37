import type { PendingFile } from './local-store.ts'

interface Failures {
  readonly count: number
  /** Number of the pass that may try the file again. */
  readonly nextPass: number
}

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

  /** Begins a pass: puts its files (oldest first) in the order in which to take them. */
  begin (files: readonly PendingFile[]): PendingFile[] {
    this.#pass++
    const keys = new Set(files.map(({ key }) => key))
    for (const key of this.#failures.keys()) if (!keys.has(key)) this.#failures.delete(key)
    for (const key of this.#last) if (!keys.has(key)) this.#last.delete(key)
    return [...files.filter(({ key }) => !this.#last.has(key)), ...files.filter(({ key }) => this.#last.has(key))]
  }

  /** True where the file failed lately and this pass leaves it out. */
  isLeftOut (key: string): boolean {
    return this.#pass < (this.#failures.get(key)?.nextPass ?? 0)
  }

  /** B2 failed the file, though perhaps not because of it. */
  failedByB2 (key: string): void {
    this.#last.add(key)
  }

  /** The file failed for a reason of its own. True where that was once too often. */
  failed (key: string): boolean {
    const count = (this.#failures.get(key)?.count ?? 0) + 1
    this.#failures.set(key, { count, nextPass: this.#pass + 1 + 2 ** (count - 1) })
    return count >= this.#maxFailures
  }

  /** Nothing is held against the file any more. */
  forgive (key: string): void {
    this.#failures.delete(key)
    this.#last.delete(key)
  }
}
