import { setTimeout as sleep } from 'node:timers/promises'
import type { RetryErrorInfo, RetryStrategyV2, RetryToken } from '@smithy/types'
import { describeFailure } from '../error-codes.ts'
import { ABORT_SIGNAL, TransportError } from './request-handler.ts'

const FIRST_DELAY_MS = 100
const STALLS_ALLOWED = 1

/** How long the sender of a request can wait. */
export interface Patience {
  /** Longest pause before another try, milliseconds. */
  readonly longestDelayMs: number
  /** Longest `Retry-After` that is honoured, milliseconds. */
  readonly longestRetryAfterMs: number
  /** Whether a connection that was not established in time counts as a stall. */
  readonly countsConnects: boolean
}

/** It is better for an upload to wait than to be sent again. */
export const FOR_UPLOADS: Patience = { longestDelayMs: 5_000, longestRetryAfterMs: 10_000, countsConnects: false }

/** A reader can ask again. With four tries the pauses add up to at most a second and a half, unless B2 asks for longer ones. */
export const FOR_READERS: Patience = { longestDelayMs: 500, longestRetryAfterMs: 1_000, countsConnects: true }

// Servers' names for a signature whose time is too far from theirs; answers to HEAD have no name.
const SKEW_NAMES: ReadonlySet<unknown> = new Set(['RequestTimeTooSkewed', 'RequestExpired', 'RequestInTheFuture', 'SignatureDoesNotMatch', 'InvalidSignatureException'])

interface Token extends RetryToken {
  readonly stalls: number
  /** Whether it was sent again with the corrected time. */
  readonly isClockCorrected: boolean
}

/**
 * Decides which failed requests are sent again, and when: exponential backoff with full jitter, and `Retry-After` within bounds.
 * Unlike the SDK's own strategy it has no quota that all requests share: a burst of 503s, which B2 calls normal, would use it up,
 * and no request would get a second try. The circuit breaker bounds the load.
 *
 * A request that B2 refused because of this machine's clock is sent again at once: the SDK has learnt B2's time from the answer and
 * signs with that. This try does not count towards `maxAttempts`.
 *
 * A request that stalled is tried once more. One that may have been carried out although its answer was lost is not sent again
 * here: its sender checks first (see upload-client.ts).
 *
 * It makes the pause itself, as nothing can abort the SDK's own: that would keep the request's body in memory, and the process
 * from ending. The error has the request's {@link ABORT_SIGNAL}.
 */
export function createRetryStrategy (maxAttempts: number, patience = FOR_UPLOADS, pause: typeof sleep = sleep): RetryStrategyV2 {
  return {
    async acquireInitialRetryToken () {
      return token(0, 0, false)
    },
    async refreshRetryTokenForRetry (previous, info) {
      const { stalls, isClockCorrected } = previous as Token
      const count = previous.getRetryCount() + 1
      if (!isClockCorrected && isClockTrouble(info.error)) return token(count, stalls, true)
      const stalled = isStall(info.error) || (patience.countsConnects && isConnectTimeout(info.error)) ? stalls + 1 : stalls
      if (count - (isClockCorrected ? 1 : 0) >= maxAttempts || stalled > STALLS_ALLOWED || !mayRetry(info)) throw info.error
      const { [ABORT_SIGNAL]: signal } = info.error as { [ABORT_SIGNAL]?: AbortSignal }
      await pause(delayMs(count, info, patience), undefined, { signal })
      return token(count, stalled, isClockCorrected)
    },
    recordSuccess () {},
  }
}

function token (count: number, stalls: number, isClockCorrected: boolean): Token {
  return { getRetryCount: () => count, getRetryDelay: () => 0, stalls, isClockCorrected }
}

/** True if the SDK found from the answer's Date that this machine's clock is wrong, and B2 refused the request for that. */
function isClockTrouble (error: unknown): boolean {
  const { name, $metadata, $response } = error as {
    name?: unknown, $metadata?: { clockSkewCorrected?: boolean, httpStatusCode?: number }, $response?: { body?: unknown }
  }
  if ($metadata?.clockSkewCorrected !== true) return false
  return SKEW_NAMES.has(name) || ($metadata.httpStatusCode === 403 && $response !== undefined && isUnnamed(name))
}

function isUnnamed (name: unknown): boolean {
  return name === 'Unknown' || name === 'UnknownError' || name === 'Forbidden' || name === '403'
}

function mayRetry (info: RetryErrorInfo): boolean {
  if (isAbort(info.error) || outcomeUnknown(info.error)) return false
  return describeFailure(info.error).retryable
}

function delayMs (count: number, info: RetryErrorInfo, patience: Patience): number {
  const backoff = Math.random() * Math.min(patience.longestDelayMs, FIRST_DELAY_MS * 4 ** count)
  const asked = info.retryAfterHint === undefined ? 0 : info.retryAfterHint.getTime() - Date.now()
  return Math.max(backoff, Math.min(asked, patience.longestRetryAfterMs))
}

/** True for the error of a request that its own signal aborted. */
function isAbort (error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}

/** True for the error of a request that stalled. */
export function isStall (error: unknown): boolean {
  return error instanceof TransportError && error.code === 'B2_STALLED'
}

function isConnectTimeout (error: unknown): boolean {
  return error instanceof TransportError && error.code === 'B2_CONNECT_TIMEOUT'
}

/** True if the request may have stored the object although no answer came. */
export function outcomeUnknown (error: unknown): boolean {
  return error instanceof TransportError && error.outcomeUnknown
}
