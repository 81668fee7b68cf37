import { TAKEN_IN_ADVANCE_BYTES } from './line.ts'
import type { Line } from './line.ts'

// So that an upload of several requests is through in time, and one that waits for its turn.
const BODIES_WITHIN_TIMEOUT = 8
const QUICK_WITHIN_TIMEOUT = 40
const FIRST_LIMIT_BYTES = 1_048_576 // 1 MiB
const LARGEST_LIMIT_BYTES = 4_294_967_296 // 4 GiB
// Of a half more bodies.
const CLEARLY_MORE = 1.2
const HARDLY_LESS = 0.7
const LONGEST_PAUSE_MS = 600_000

/**
 * How much may be under way at once: so many bytes as the line carries within an eighth of `timeoutMs`, or so many bodies as were seen to
 * carry more than fewer did. It begins small, and soon doubles, as long as bodies are acknowledged quickly or move well.
 */
export class LineLimit {
  readonly #line: Line
  readonly #timeoutMs: number
  readonly #targetMs: number
  #bytes = FIRST_LIMIT_BYTES
  #bodies = 1
  /** What that many bodies carried. */
  #rate = 0
  /** Whether more bodies than {@link #bodies} are tried: each connection may have a bound of its own. */
  #isTrial = false
  #notBefore = 0
  #pauseMs: number

  constructor (line: Line, timeoutMs: number) {
    this.#line = line
    this.#timeoutMs = timeoutMs
    this.#targetMs = timeoutMs / BODIES_WITHIN_TIMEOUT
    this.#pauseMs = timeoutMs / 2
  }

  get bytes (): number { return this.#bytes }

  /** Whether a body of so many bytes may begin. */
  allows (bytes: number): boolean {
    const { left, sending } = this.#line
    return left + bytes <= this.#bytes || sending.size < this.#bodies + (this.#isTrial ? Math.ceil(this.#bodies / 2) : 0)
  }

  /** A body of so many bytes was acknowledged `ms` after its turn began. As long as nobody looks at the line, that is all that is known of it. */
  acknowledged (bytes: number, ms: number): void {
    if (this.#line.rate > 0 || ms > this.#timeoutMs / QUICK_WITHIN_TIMEOUT) return
    const grown = this.#line.underWay + bytes > this.#bytes / 2 ? this.#bytes + bytes : this.#bytes
    const carried = Math.max(0, bytes - TAKEN_IN_ADVANCE_BYTES) / Math.max(1, ms) * this.#targetMs
    this.#bytes = Math.min(LARGEST_LIMIT_BYTES, Math.max(grown, carried))
  }

  /** Follows what the line was seen to carry. Never more than twice what is under way: the first moments of a body promise too much. */
  adapt (): void {
    const { rate, underWay } = this.#line
    if (rate === 0) return
    this.#bytes = Math.max(FIRST_LIMIT_BYTES, Math.min(LARGEST_LIMIT_BYTES, 2 * underWay, rate * this.#targetMs))
    this.#try()
  }

  #try (): void {
    const { sending, steadyRate: rate } = this.#line
    const now = performance.now()
    if (rate === 0) return
    if (sending.size > this.#bodies) {
      if (!this.#isTrial && sending.size > 1.5 * this.#bodies) return
      if (rate >= CLEARLY_MORE * this.#rate) {
        this.#bodies = sending.size
        this.#rate = rate
        this.#pauseMs = this.#timeoutMs / 2
      } else {
        this.#notBefore = now + this.#pauseMs
        this.#pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * this.#pauseMs)
      }
      this.#isTrial = false
    } else if (sending.size === this.#bodies) {
      if (rate < HARDLY_LESS * this.#rate) this.#bodies = 1
      this.#rate = rate
    }
    if (now >= this.#notBefore) this.#isTrial = true
  }
}
