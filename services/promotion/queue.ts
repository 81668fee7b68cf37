import type { PendingFile } from '../local/store.ts'

interface Failures {
  readonly count: number
  /** Number of the pass that may try the file again. */
  readonly nextPass: number
}

/** If ever more files fail, the first ones are tried sooner than necessary. */
const MOST_REMEMBERED = 10_000

/**
 * The order in which a pass takes files, and which it leaves out: a file that fails must not hold up others. If B2 failed, the
 * file goes to the end of the next passes. A file that fails for other reasons is left out of one pass, then two, then four and so on.
 */
export class PromotionQueue {
  readonly #maxFailures: number
  readonly #failures = new Map<string, Failures>()
  readonly #last = new Set<string>()
  #pass = 0

  constructor (maxFailures: number) {
    this.#maxFailures = maxFailures
  }

  /** Begins a pass: yields its files (which come oldest first) in the order in which to take them. */
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

  /** Whether this pass leaves the file out, as it failed lately. */
  isLeftOut (key: string): boolean {
    return this.#pass < (this.#failures.get(key)?.nextPass ?? 0)
  }

  /** Lets the next passes take the file last: B2 failed it, perhaps not because of the file. */
  moveToEnd (key: string): void {
    this.#last.add(key)
    if (this.#last.size > MOST_REMEMBERED) this.#last.delete(this.#last.values().next().value!)
  }

  /** Counts a failure of the file itself. @returns whether it was one too many */
  countFailure (key: string): boolean {
    const count = (this.#failures.get(key)?.count ?? 0) + 1
    this.#failures.set(key, { count, nextPass: this.#pass + 1 + 2 ** (count - 1) })
    if (this.#failures.size > MOST_REMEMBERED) this.#failures.delete(this.#failures.keys().next().value!)
    return count >= this.#maxFailures
  }

  /** Forgets the file's failures. */
  forgive (key: string): void {
    this.#failures.delete(key)
    this.#last.delete(key)
  }
}
