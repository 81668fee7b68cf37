import { describeFailure } from './error-codes.ts'
import type { B2ErrorCode, B2Failure, FailureWeight } from './error-codes.ts'

const LONGEST_RAW_WORDS = 500

/** `describeFailure` with the store's own secrets taken out of B2's words, which are cut to 500 characters. */
export function describeRedacted (error: unknown, redact: (text: string) => string): B2Failure {
  const described = describeFailure(error)
  // Cut last: half a secret could not be told any more.
  return { ...described, raw: redact(described.raw).slice(0, LONGEST_RAW_WORDS) }
}

/** B2 did not do what a reader, or one who removes, asked of it. */
export class B2ReadError extends Error {
  override readonly name = 'B2ReadError'
  readonly error_code: B2ErrorCode
  /** One sentence of ours with safe facts only, fit for answers; the message, too. */
  readonly detail: string
  /** B2's or the system's own words, redacted, for the log only. */
  readonly raw: string
  readonly weight: FailureWeight
  readonly retryable: boolean
  /** HTTP status of B2's answer, where there was one. */
  readonly status: number | undefined

  // No `cause`: whoever logs it would log what the redactor took out.
  constructor (failure: B2Failure) {
    super(failure.detail)
    this.error_code = failure.error_code
    this.detail = failure.detail
    this.raw = failure.raw
    this.weight = failure.weight
    this.retryable = failure.retryable
    this.status = failure.status
  }
}
