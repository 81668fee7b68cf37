export interface ClientPaceOptions {
  /** Milliseconds without a byte after which the client has stalled; also the span over which its rate is averaged. */
  readonly idleTimeoutMs: number
  /** Least bytes per second, 0 for no such rule. */
  readonly minRate: number
  /** Bytes that have come from the client so far; only grows. */
  received (): number
  onStalled (reason: 'idle' | 'slow'): void
}

const LOOKS_PER_SPAN = 10
const RATE_SPAN_MS = 10_000
// The first bytes of a connection say little: they come in a burst, or over several round trips.
const SHORTEST_RATE_SPAN_MS = 500

/**
 * Watches how fast a client sends. Only time in which the service reads counts: a client that waits for us is not slow.
 */
export class ClientPace {
  readonly #options: ClientPaceOptions
  #timer: NodeJS.Timeout | undefined
  readonly #history: { readonly at: number, readonly bytes: number }[] = []
  #readingMs = 0
  #readingSince: number | undefined
  #lastBytes: number
  #lastByteAt = 0
  #stopped = false

  constructor (options: ClientPaceOptions) {
    this.#options = options
    this.#lastBytes = options.received()
    this.#history.push({ at: 0, bytes: this.#lastBytes })
  }

  /** Counts time from now on: the service reads. */
  resume (): void {
    this.#timer ??= setInterval(() => this.#look(), Math.min(this.#options.idleTimeoutMs / LOOKS_PER_SPAN, 1_000)).unref()
    this.#readingSince ??= performance.now()
  }

  /** Counts no time for now: the service does not read. */
  pause (): void {
    this.#readingMs = this.#clock()
    this.#readingSince = undefined
  }

  /**
   * Bytes per second over the last ten seconds of reading; undefined before half a second of it, and after
   * {@link stop}: a client from which nothing is awaited can't be slow.
   */
  rate (): number | undefined {
    if (this.#stopped) return undefined
    const now = this.#clock()
    const from = this.#history.findLast(({ at }) => now - at >= RATE_SPAN_MS) ?? this.#history[0]!
    const span = now - from.at
    return span < SHORTEST_RATE_SPAN_MS ? undefined : (this.#options.received() - from.bytes) / span * 1_000
  }

  /** Ends the watch: all has come, or nothing is wanted any more. */
  stop (): void {
    this.#stopped = true
    clearInterval(this.#timer)
  }

  #clock (): number {
    return this.#readingSince === undefined ? this.#readingMs : this.#readingMs + performance.now() - this.#readingSince
  }

  #look (): void {
    const now = this.#clock()
    const bytes = this.#options.received()
    const { idleTimeoutMs, minRate } = this.#options
    if (bytes !== this.#lastBytes) {
      this.#lastBytes = bytes
      this.#lastByteAt = now
    } else if (now - this.#lastByteAt >= idleTimeoutMs) {
      this.stop()
      return this.#options.onStalled('idle')
    }
    const last = this.#history.at(-1)!
    if (now > last.at) this.#history.push({ at: now, bytes })
    // Keep one entry that is a whole span old, to average over.
    while (this.#history.length > 1 && now - this.#history[1]!.at >= idleTimeoutMs) this.#history.shift()
    const from = this.#history[0]!
    const span = now - from.at
    if (span >= idleTimeoutMs && (bytes - from.bytes) / span * 1_000 < minRate) {
      this.stop()
      this.#options.onStalled('slow')
    }
  }
}
