import type { Line } from './line.ts'

// So that an upload of several requests is through in time, and one that waits for its turn.
const BODIES_WITHIN_TIMEOUT = 5
const FIRST_LIMIT_BYTES = 1_048_576 // 1 MiB
const LARGEST_LIMIT_BYTES = 4_294_967_296 // 4 GiB
const STEADY_MS = 1_500
// One that shows nothing makes what was under way later: not soon, and seldom.
const TRIES_WITHIN_TIMEOUT = 2
const LONGEST_PAUSE_MS = 600_000
const ADAPTED_LATELY_MS = 5_000
// Of a half more requests.
const CLEARLY_MORE = 1.2
const HARDLY_LESS = 0.7

/**
 * How many bytes may be under way at once: as many as the line carries within a fifth of `timeoutMs`, and more while more requests carry
 * more. It begins small, and soon doubles, as long as bodies are acknowledged quickly or move well.
 */
export class LineLimit {
  readonly #line: Line
  readonly #timeoutMs: number
  readonly #targetMs: number
  #bytes = FIRST_LIMIT_BYTES
  /** How many bytes under way were shown to carry more than fewer did, and what they carried. */
  #proven = 0
  #provenRate = 0
  /** What was carried before more were let go. */
  #trial: { readonly count: number, readonly rate: number, readonly limit: number } | undefined
  #notBefore = 0
  #adaptedAt = -Infinity
  #pauseMs: number

  constructor (line: Line, timeoutMs: number) {
    this.#line = line
    this.#timeoutMs = timeoutMs
    this.#targetMs = timeoutMs / BODIES_WITHIN_TIMEOUT
    this.#pauseMs = timeoutMs / TRIES_WITHIN_TIMEOUT
  }

  get bytes (): number { return this.#bytes }

  /** A body of so many bytes was acknowledged `ms` after its turn began: quickly, the line may carry as much more. */
  acknowledged (bytes: number, ms: number): void {
    if (ms > this.#targetMs / 8) return
    this.#bytes = Math.min(LARGEST_LIMIT_BYTES, Math.max(this.#bytes, this.#line.underWay + bytes) + bytes)
  }

  /** Follows what the line was seen to carry. Never more than twice what is under way: the first moments of a body promise too much. */
  adapt (): void {
    const { rate, underWay, sending } = this.#line
    const now = performance.now()
    if (now - this.#adaptedAt > ADAPTED_LATELY_MS) this.#notBefore = Math.max(this.#notBefore, now + this.#pauseMs)
    this.#adaptedAt = now
    if (rate === 0 || sending.size === 0) return
    const onTime = rate * this.#targetMs
    if (onTime < underWay) this.#try(underWay)
    else this.#trial = undefined
    this.#bytes = Math.max(FIRST_LIMIT_BYTES, Math.min(LARGEST_LIMIT_BYTES, 2 * underWay, Math.max(onTime, this.#proven, this.#trial?.limit ?? 0)))
  }

  /**
   * Tries now and then whether more requests carry more: then each has a bound of its own, and the line is not full. Not if
   * what is under way would come too late for it.
   */
  #try (underWay: number): void {
    const { sending, left, steadyMs, steadyRate: rate } = this.#line
    if (steadyMs < STEADY_MS) return
    if (rate < HARDLY_LESS * this.#provenRate) this.#proven = this.#provenRate = 0
    const now = performance.now()
    if (this.#trial !== undefined && sending.size > this.#trial.count) {
      const carriesMore = rate >= CLEARLY_MORE * this.#trial.rate
      this.#trial = undefined
      if (carriesMore) {
        this.#proven = underWay
        this.#provenRate = rate
        this.#pauseMs = this.#timeoutMs / TRIES_WITHIN_TIMEOUT
      } else {
        this.#notBefore = now + this.#pauseMs
        this.#pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * this.#pauseMs)
      }
    }
    if (this.#trial !== undefined || now < this.#notBefore) return
    const limit = left + Math.ceil(sending.size / 2) * underWay / sending.size
    let askedAt = now
    for (const each of sending) askedAt = Math.min(askedAt, each.askedAt)
    if (now + limit / rate > askedAt + this.#timeoutMs) return
    this.#trial = { count: sending.size, rate, limit }
  }
}
