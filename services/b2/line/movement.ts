import type { Turn, Turns } from './turns.ts'

/** Whether the requests of one upload move: a slow line is no failure of B2. */
export class Movement {
  readonly #turns: Turns
  readonly #own = new Set<Turn>()
  #movedAt = -Infinity
  #waiting = 0

  constructor (turns: Turns) {
    this.#turns = turns
  }

  /** Something moved that {@link look} does not see. */
  moved (): void { this.#movedAt = performance.now() }

  /** Looks what has arrived since the last look. */
  async look (): Promise<void> { await this.#turns.look() }

  /** Whether anything moved within the last `ms`; who waits for his turn goes by what the others move. */
  within (ms: number): boolean {
    const since = performance.now() - ms
    if (this.#movedAt >= since || (this.#waiting > 0 && this.#turns.movedWithin(ms))) return true
    for (const { movedAt } of this.#own) if (movedAt >= since) return true
    return false
  }

  /** Waits for the turn of one of its bodies; to be given back with {@link end}. @throws an `AbortError` once `signal` fires */
  async take (bytes: number, isBackground: boolean, signal: AbortSignal | undefined): Promise<Turn> {
    this.#waiting++
    try {
      const turn = await this.#turns.take(bytes, isBackground, signal)
      this.#own.add(turn)
      return turn
    } finally {
      this.#waiting--
    }
  }

  end (turn: Turn, isAcknowledged: boolean): void {
    this.#movedAt = Math.max(this.#movedAt, isAcknowledged ? performance.now() : turn.movedAt)
    this.#own.delete(turn)
    turn.end(isAcknowledged)
  }
}
