import type { B2ErrorCode, FailureWeight } from './b2/error-codes.ts'
import type { Log } from './log.ts'

/** A failure as the circuit sees it. */
export interface CircuitFailure {
  readonly error_code: B2ErrorCode
  readonly detail: string
  readonly weight: FailureWeight
}

/** Closed: B2 is used. Open: it failed, and is not used. Half open: one file tries it. */
export type CircuitState = 'closed' | 'open' | 'half_open'

export interface CircuitBreakerOptions {
  /** Soft failures in a row that open the circuit; 0 for no breaker. */
  readonly threshold: number
  /** Milliseconds until one upload may probe B2 again. */
  readonly resetMs: number
  /** Milliseconds that a probe has for its verdict before another upload may probe as well. Default: `resetMs`, at least 5,000. */
  readonly verdictMs?: number
  /** Called after every change of state; `failure` is why the circuit is not closed, `log` is the log of the file that changed it. */
  onChange? (state: CircuitState, failure: CircuitFailure | null, log: Log | undefined): void
}

/** Permission to use B2 once. Its owner reports exactly one outcome; later reports do nothing. */
export interface Permit {
  /**
   * B2 took the first bytes, and more will follow. For a probe this is the verdict, and closes the circuit. The outcome is still
   * to be reported, and counts like that of any other upload.
   */
  acknowledge (): void
  /** B2 took the write. */
  succeed (): void
  /** B2 failed the write; `atOnce` opens the circuit whatever the count. */
  fail (failure: CircuitFailure, atOnce?: boolean): void
  /** Nothing was learnt about B2. */
  release (): void
}

// With a shorter reset time, probes must not follow each other faster than a healthy B2 takes the first part.
const LEAST_VERDICT_MS = 5_000

/**
 * Keeps uploads from waiting for B2's timeouts one after the other while it is down. Hard failures open the circuit at once,
 * soft ones after `threshold` in a row. After `resetMs`, exactly one probe is let through; its verdict closes the circuit or
 * opens it again. If a probe has no verdict in time, the next upload may probe as well, and the first verdict counts.
 *
 * No library fits, since an outcome is known only at the end of a stream, and there may be none at all.
 */
export class CircuitBreaker {
  readonly #options: CircuitBreakerOptions
  #state: CircuitState = 'closed'
  #inARow = 0
  #openedAt = 0
  /** The probe that the others wait for, until its time is up. */
  #probe: { readonly since: number } | undefined
  #failure: CircuitFailure | null = null
  #lastError: CircuitFailure | null = null

  constructor (options: CircuitBreakerOptions) {
    this.#options = options
  }

  get state (): CircuitState { return this.#state }

  /** Why the circuit is not closed; null if it is. */
  get failure (): CircuitFailure | null { return this.#failure }

  /** The last failure of B2 since its last success. */
  get lastError (): CircuitFailure | null { return this.#lastError }

  /**
   * A permit to use B2; undefined while the circuit is open. Call it right before the first request: a probe that waits for its
   * client keeps others from B2. `canProbe` says that a failure of this upload would lose nothing: only such an upload may be
   * the probe. `log` gets the changes of state that follow.
   */
  tryAcquire (canProbe: boolean, log?: Log): Permit | undefined {
    if (!this.canAcquire(canProbe)) return undefined
    const permit = { since: performance.now() }
    if (this.#state === 'closed') return this.#permit(permit, log)
    this.#probe = permit
    this.#change('half_open', log)
    return this.#permit(permit, log)
  }

  /** Whether {@link tryAcquire} would give a permit now. */
  canAcquire (canProbe: boolean): boolean {
    if (this.#state === 'closed') return true
    const now = performance.now()
    const { resetMs, verdictMs = Math.max(resetMs, LEAST_VERDICT_MS) } = this.#options
    if (this.#probe !== undefined && now - this.#probe.since < verdictMs) return false
    return canProbe && now - this.#openedAt >= resetMs
  }

  #permit (own: { readonly since: number }, log: Log | undefined): Permit {
    let isAwaited = this.#probe === own
    let told = false
    /** Ends the wait of the others for this one, and says whether they waited. */
    const takeVerdict = (): boolean => {
      const isVerdict = this.#probe === own
      if (isVerdict) this.#probe = undefined
      return isVerdict
    }
    const once = (tell: () => void): void => {
      if (told) return
      told = true
      tell()
    }
    return {
      acknowledge: () => {
        if (told || !isAwaited) return
        isAwaited = false
        takeVerdict()
        this.#succeed(own.since, log)
      },
      succeed: () => once(() => {
        takeVerdict()
        this.#succeed(own.since, log)
      }),
      fail: (failure, atOnce = false) => once(() => this.#fail(takeVerdict(), failure, atOnce, log)),
      release: () => once(() => {
        // The next upload may probe at once.
        if (takeVerdict()) this.#change('open', log)
      }),
    }
  }

  #succeed (since: number, log: Log | undefined): void {
    // An upload that began before the circuit opened says nothing about the time since.
    if (this.#state !== 'closed' && since < this.#openedAt) return
    this.#probe = undefined
    this.#inARow = 0
    this.#failure = null
    this.#lastError = null
    this.#change('closed', log)
  }

  #fail (isVerdict: boolean, failure: CircuitFailure, atOnce: boolean, log: Log | undefined): void {
    if (failure.weight === 'none' && !atOnce) {
      if (isVerdict) this.#open(this.#failure ?? failure, log)
      return
    }
    this.#lastError = failure
    if (this.#options.threshold === 0) return
    // An upload that began before the circuit opened neither opened it nor decides about the probe.
    if (!isVerdict && this.#state !== 'closed') return
    this.#inARow++
    if (isVerdict || atOnce || failure.weight === 'hard' || this.#inARow >= this.#options.threshold) this.#open(failure, log)
  }

  #open (failure: CircuitFailure, log: Log | undefined): void {
    this.#failure = failure
    this.#openedAt = performance.now()
    this.#change('open', log)
  }

  #change (state: CircuitState, log: Log | undefined): void {
    if (this.#state === state) return
    this.#state = state
    this.#options.onChange?.(state, this.#failure, log)
  }
}
