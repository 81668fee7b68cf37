import type { BodyOwner } from './line.ts'
import type { Turn, Turns } from './turns.ts'

/** What the line to B2 knows of one upload: when it has to be acknowledged, and whether it moves. A slow line is no failure of B2. */
export class Movement implements BodyOwner {
  readonly isBackground: boolean
  readonly #turns: Turns
  readonly #own = new Set<Turn>()
  #deadline = (): number => Infinity
  #hasBegun = false
  #movedAt = -Infinity
  #waiting = 0

  constructor (turns: Turns, isBackground = false) {
    this.#turns = turns
    this.isBackground = isBackground
  }

  get deadline (): number { return this.#deadline() }

  get hasBegun (): boolean { return this.#hasBegun }

  /** `deadline` tells at any moment when it gives up. */
  givesUpAt (deadline: () => number): void { this.#deadline = deadline }

  /** Something moved that {@link look} does not see. */
  moved (): void { this.#movedAt = performance.now() }

  /** Looks what has arrived since the last look. For bodies that wait, the turns do. */
  async look (): Promise<void> { if (this.#own.size > 0) await this.#turns.look() }

  /** Whether anything moved within the last `ms`; who waits for his turn goes by what the others move. */
  within (ms: number): boolean {
    const since = performance.now() - ms
    if (this.#movedAt >= since || (this.#waiting > 0 && !this.#turns.stoodStill(ms))) return true
    for (const { movedAt } of this.#own) if (movedAt >= since) return true
    return false
  }

  /** Waits for the turn of one of its bodies; to be given back with {@link end}. @throws an `AbortError` once `signal` fires */
  async take (bytes: number, signal: AbortSignal | undefined): Promise<Turn> {
    this.#waiting++
    try {
      const turn = await this.#turns.take(bytes, this, signal)
      this.#own.add(turn)
      return turn
    } finally {
      this.#waiting--
    }
  }

  end (turn: Turn, isAcknowledged: boolean): void {
    if (isAcknowledged) this.#hasBegun = true
    this.#movedAt = Math.max(this.#movedAt, isAcknowledged ? performance.now() : turn.movedAt)
    this.#own.delete(turn)
    turn.end(isAcknowledged)
  }
}
