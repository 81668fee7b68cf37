import type { RetryErrorInfo } from '@smithy/types'
import t from 'tap'
import type { Test } from 'tap'
import { ABORT_SIGNAL, TransportError } from '../../../../services/b2/http/request-handler.ts'
import { FOR_READERS, FOR_UPLOADS, createRetryStrategy, isStall, outcomeUnknown } from '../../../../services/b2/http/retry-strategy.ts'
import type { Patience } from '../../../../services/b2/http/retry-strategy.ts'

const BUSY = Object.assign(new Error('no tomes available'), { name: 'ServiceUnavailable' })
const STALL = new TransportError('nothing moved', 'B2_STALLED', false)
const NO_CONNECTION = new TransportError('connecting took too long', 'B2_CONNECT_TIMEOUT', false)

function infoOf (error: Error, retryAfterMs?: number): RetryErrorInfo {
  return { error: error as never, errorType: 'TRANSIENT', ...(retryAfterMs === undefined ? {} : { retryAfterHint: new Date(Date.now() + retryAfterMs) }) }
}

interface Outcome {
  /** Length of each pause, in milliseconds. */
  pauses: number[]
  /** What was given up with; undefined where another try is allowed for each failure. */
  gaveUp: unknown
}

/** Fails a request with each of these, one after the other, with the longest pauses that chance allows. */
async function failWith (t: Test, errors: Error[], { maxAttempts = 10, patience = FOR_UPLOADS as Patience, retryAfterMs = undefined as number | undefined } = {}): Promise<Outcome> {
  t.intercept(Math, 'random', { value: () => 1 })
  t.intercept(Date, 'now', { value: () => 1_000_000 })
  const pauses: number[] = []
  const strategy = createRetryStrategy(maxAttempts, patience, (async (ms: number) => { pauses.push(ms) }) as never)
  let token = await strategy.acquireInitialRetryToken('scope')
  for (const [index, error] of errors.entries()) {
    try {
      token = await strategy.refreshRetryTokenForRetry(token, infoOf(error, retryAfterMs))
    } catch (gaveUp) {
      return { pauses, gaveUp }
    }
    if (token.getRetryCount() !== index + 1 || token.getRetryDelay() !== 0) throw new Error('the SDK would count or pause by itself')
    strategy.recordSuccess(token)
  }
  return { pauses, gaveUp: undefined }
}

t.test('pauses grow by the factor four up to their bound', async t => {
  const errors = Array<Error>(5).fill(BUSY)
  t.same(await failWith(t, errors), { pauses: [400, 1_600, 5_000, 5_000, 5_000], gaveUp: undefined })
  t.same(await failWith(t, errors, { patience: FOR_READERS }), { pauses: [400, 500, 500, 500, 500], gaveUp: undefined })
})

t.test('pauses differ by chance, so that not all come back at once', async t => {
  t.intercept(Math, 'random', { value: () => 0.25 })
  const pauses: number[] = []
  const strategy = createRetryStrategy(2, FOR_UPLOADS, (async (ms: number) => { pauses.push(ms) }) as never)
  await strategy.refreshRetryTokenForRetry(await strategy.acquireInitialRetryToken('scope'), infoOf(BUSY))
  t.same(pauses, [100])
})

t.test('Retry-After makes a pause longer, within bounds, and never shorter', async t => {
  const pausesWith = async (retryAfterMs: number, patience: Patience) => (await failWith(t, [BUSY], { retryAfterMs, patience })).pauses
  for (const [asked, forUploads, forReaders] of [
    [-60_000, 400, 400], [399, 400, 400], [401, 401, 401], [1_000, 1_000, 1_000], [1_001, 1_001, 1_000], [10_000, 10_000, 1_000], [60_000, 10_000, 1_000],
  ] as const) {
    t.same(await pausesWith(asked, FOR_UPLOADS), [forUploads], `${asked} ms, uploads`)
    t.same(await pausesWith(asked, FOR_READERS), [forReaders], `${asked} ms, readers`)
  }
})

t.test('the last try is the last', async t => {
  const errors = Array<Error>(5).fill(BUSY)
  t.same(await failWith(t, errors, { maxAttempts: 3 }), { pauses: [400, 1_600], gaveUp: BUSY })
  t.same(await failWith(t, errors, { maxAttempts: 1 }), { pauses: [], gaveUp: BUSY })
})

t.test('a stall is tried once more, whatever else happens between', async t => {
  t.equal((await failWith(t, [STALL])).gaveUp, undefined)
  t.same(await failWith(t, [STALL, BUSY, BUSY, STALL]), { pauses: [400, 1_600, 5_000], gaveUp: STALL })
  t.equal((await failWith(t, Array<Error>(5).fill(NO_CONNECTION))).gaveUp, undefined, 'who uploads waits for a connection')
  const reset = new TransportError('reset', 'ECONNRESET', false)
  t.equal((await failWith(t, Array<Error>(5).fill(reset), { patience: FOR_READERS })).gaveUp, undefined, 'a reset is neither')
  t.same(await failWith(t, [STALL, NO_CONNECTION], { patience: FOR_READERS }), { pauses: [400], gaveUp: NO_CONNECTION }, 'who reads does not')
})

t.test('what another try can\'t mend, or might do twice, is not tried again', async t => {
  for (const error of [
    Object.assign(new Error('not entitled'), { name: 'AccessDenied', $metadata: { httpStatusCode: 403 } }),
    new TransportError('the answer was lost', 'ECONNRESET', true),
    Object.assign(new Error('cancelled', { cause: BUSY }), { name: 'AbortError' }),
  ]) t.same(await failWith(t, [error]), { pauses: [], gaveUp: error }, error.message)
  t.equal((await failWith(t, [new TransportError('reset', 'ECONNRESET', false)])).gaveUp, undefined)
})

t.test('a request that is cancelled ends its pause', async t => {
  const controller = new AbortController()
  const strategy = createRetryStrategy(2)
  const error = Object.assign(new Error('reset'), { code: 'ECONNRESET', [ABORT_SIGNAL]: controller.signal })
  const pausing = strategy.refreshRetryTokenForRetry(await strategy.acquireInitialRetryToken('scope'), infoOf(error, 60_000))
  controller.abort()
  await t.rejects(pausing, { name: 'AbortError' })
})

t.test('the kinds of errors are told apart by what made them', async t => {
  t.same([STALL, NO_CONNECTION, Object.assign(new Error('x'), { code: 'B2_STALLED' }), undefined].map(isStall), [true, false, false, false])
  t.same([new TransportError('x', 'EPIPE', true), STALL, { outcomeUnknown: true }].map(outcomeUnknown), [true, false, false])
})
