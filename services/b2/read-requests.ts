import type { B2Client, B2Command } from './http/client.ts'
import type { B2ErrorCode, B2Failure, FailureWeight } from './error-codes.ts'
import { describeRedacted } from './redact.ts'

/** B2 did not do what a read or a removal asked of it. */
export class B2ReadError extends Error {
  override readonly name = 'B2ReadError'
  readonly error_code: B2ErrorCode
  /** One sentence of ours with safe facts only, for answers; it is also the message. */
  readonly detail: string
  /** The words of B2 or the system, redacted, for the log only. */
  readonly raw: string
  readonly weight: FailureWeight
  readonly retryable: boolean
  /** HTTP status of B2's answer, if there was one. */
  readonly status: number | undefined
  /** True if B2 says that it does not have a multipart upload. */
  readonly isUploadGone: boolean

  // No `cause`: a log of it would have what the redactor removed.
  constructor (failure: B2Failure) {
    super(failure.detail)
    this.error_code = failure.error_code
    this.detail = failure.detail
    this.raw = failure.raw
    this.weight = failure.weight
    this.retryable = failure.retryable
    this.status = failure.status
    this.isUploadGone = failure.isUploadGone === true
  }
}

/** The requests of one reader, which end with its own signal or with the store, or when the reader aborts them. */
export interface ReadScope {
  readonly signal: AbortSignal
  abort (): void
  /** Stops listening to the reader's signal. */
  done (): void
}

/** Requests that read or remove. They are aborted with the store, and fail with {@link B2ReadError}. */
export class ReadRequests {
  readonly client: B2Client
  readonly #redact: (text: string) => string
  readonly #onFailure: (error_code: B2ErrorCode) => void
  readonly #open = new Set<AbortController>()
  #closed = false

  /** @param onFailure called with each failure; a missing object is not one */
  constructor (client: B2Client, redact: (text: string) => string, onFailure: (error_code: B2ErrorCode) => void) {
    this.client = client
    this.#redact = redact
    this.#onFailure = onFailure
  }

  scope (outer?: AbortSignal): ReadScope {
    const controller = new AbortController()
    const abort = (): void => controller.abort(outer?.reason)
    if (this.#closed) controller.abort(closed())
    if (outer?.aborted === true) abort()
    outer?.addEventListener('abort', abort)
    this.#open.add(controller)
    return {
      signal: controller.signal,
      abort,
      done: () => {
        outer?.removeEventListener('abort', abort)
        this.#open.delete(controller)
      },
    }
  }

  /** Runs `work` in its own scope. @throws {B2ReadError}; the reason of the signal if that fired. */
  async within<Result> (outer: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    const scope = this.scope(outer)
    try {
      return await this.#explained(scope.signal, async () => await work(scope.signal))
    } finally {
      scope.done()
    }
  }

  /** @throws {B2ReadError}; the reason of `signal` if that fired. */
  async send<Output extends object> (command: B2Command<Output>, signal: AbortSignal): Promise<Output> {
    return await this.#explained(signal, async () => await this.client.send(command, signal))
  }

  async #explained<Result> (signal: AbortSignal, work: () => Promise<Result>): Promise<Result> {
    signal.throwIfAborted()
    try {
      return await work()
    } catch (error) {
      signal.throwIfAborted()
      throw this.failure(error)
    }
  }

  failure (error: unknown): B2ReadError {
    if (error instanceof B2ReadError) return error
    const described = describeRedacted(error, this.#redact)
    // An HTML page that says 404 comes from a proxy or another server, and says nothing about the object.
    const failure = new B2ReadError(isPage(error) ? { ...described, status: undefined } : described)
    if (!isMissing(failure)) this.#onFailure(failure.error_code)
    return failure
  }

  /** Aborts all requests, and closes the connections. */
  close (): void {
    this.#closed = true
    for (const controller of this.#open) controller.abort(closed())
    this.client.destroy()
  }
}

function isPage (error: unknown): boolean {
  const { $response } = Object(error) as { $response?: { headers?: Record<string, string> } }
  return /^text\/html/i.test($response?.headers?.['content-type'] ?? '')
}

/** True if B2 says that there is no such object. */
export function isMissing (error: unknown): boolean {
  return error instanceof B2ReadError && error.status === 404 && error.error_code !== 'bucket_not_found'
}

function closed (): B2ReadError {
  const detail = 'The service is shutting down'
  return new B2ReadError({ error_code: 'unknown_error', detail, raw: detail, weight: 'none', retryable: false })
}
