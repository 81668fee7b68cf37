import type { B2ErrorCode, FailureWeight } from './b2/error-codes.ts'
import type { Log } from './log.ts'

/** A failure as the circuit sees it. */
export interface CircuitFailure {
  readonly error_code: B2ErrorCode
  readonly detail: string
  readonly weight: FailureWeight
}

/** Closed: B2 is used. Open: it is not, as it failed. Half open: one file tries it. */
export type CircuitState = 'closed' | 'open' | 'half_open'

export interface CircuitBreakerOptions {
  /** Soft failures in a row that open the circuit; 0 for no breaker. */
  readonly threshold: number
  /** Milliseconds until one upload may probe B2 again. */
  readonly resetMs: number
  /** Called after every change of state; `failure` is why the circuit is not closed, `log` that of the file that changed it. */
  onChange? (state: CircuitState, failure: CircuitFailure | null, log: Log | undefined): void
}

/** Leave to use B2 once; tell it exactly one outcome. Later calls do nothing. */
export interface Permit {
  /** B2 took the write. */
  succeeded (): void
  /** B2 failed it; `atOnce` opens the circuit whatever the count. */
  failed (failure: CircuitFailure, atOnce?: boolean): void
  /** Nothing was learnt about B2. */
  released (): void
}

/**
 * Keeps uploads from paying B2's timeouts one after the other while it is down. Hard failures open the circuit at once,
 * soft ones after `threshold` in a row. When it was open for `resetMs`, exactly one probe is let through; its outcome
 * closes the circuit or opens it again.
 *
 * Its own, rather than a library's, since an outcome is known only at the end of a stream and may be none at all.
 */
export class CircuitBreaker {
  readonly #options: CircuitBreakerOptions
  #state: CircuitState = 'closed'
  #inARow = 0
  #openedAt = 0
  #probing = false
  #failure: CircuitFailure | null = null
  #lastError: CircuitFailure | null = null

  constructor (options: CircuitBreakerOptions) {
    this.#options = options
  }

  get state (): CircuitState { return this.#state }

  /** Why the circuit is not closed; null where it is. */
  get failure (): CircuitFailure | null { return this.#failure }

  /** The last failure of B2 since its last success. */
  get lastError (): CircuitFailure | null { return this.#lastError }

  /**
   * Asks for leave to use B2; undefined while the circuit is open. `canProbe` says that a failure of this upload would
   * lose nothing: only such a one may be the probe. `log` is for the changes that come of it.
   */
  ask (canProbe: boolean, log?: Log): Permit | undefined {
    if (!this.wouldPermit(canProbe)) return undefined
    if (this.#state === 'closed') return this.#permit(false, log)
    this.#probing = true
    this.#change('half_open', log)
    return this.#permit(true, log)
  }

  /** Whether {@link ask} would give leave now; takes nothing. */
  wouldPermit (canProbe: boolean): boolean {
    if (this.#state === 'closed') return true
    return canProbe && !this.#probing && performance.now() - this.#openedAt >= this.#options.resetMs
  }

  #permit (probe: boolean, log: Log | undefined): Permit {
    let told = false
    const once = (tell: () => void): void => {
      if (told) return
      told = true
      if (probe) this.#probing = false
      tell()
    }
    return {
      succeeded: () => once(() => {
        // A success that began before the circuit opened says nothing about the time since.
        if (!probe && this.#state !== 'closed') return
        this.#inARow = 0
        this.#failure = null
        this.#lastError = null
        this.#change('closed', log)
      }),
      failed: (failure, atOnce = false) => once(() => {
        if (failure.weight === 'none' && !atOnce) {
          if (probe) this.#open(this.#failure ?? failure, log)
          return
        }
        this.#lastError = failure
        if (this.#options.threshold === 0) return
        // One that began before the circuit opened is neither why it is open nor a verdict on the probe.
        if (!probe && this.#state !== 'closed') return
        this.#inARow++
        if (probe || atOnce || failure.weight === 'hard' || this.#inARow >= this.#options.threshold) this.#open(failure, log)
      }),
      released: () => once(() => {
        // The slot is free again at once: the next upload may probe.
        if (probe) this.#change('open', log)
      }),
    }
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
