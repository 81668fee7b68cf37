import { HeadObjectCommand } from '@aws-sdk/client-s3'
import t from 'tap'
import type { SdkError } from '@smithy/types'
import { createRetryStrategy, FOR_UPLOADS } from '../../services/b2/http/retry-strategy.ts'
import { clientTo } from '../support/b2/cleanup-stage.ts'
import { KIB } from '../support/faults/fault-matrix.ts'
import { startB2 } from '../support/service/service.ts'
import { reachesB2, STEPS } from '../support/faults/transient.ts'
import { survivesReset } from '../support/faults/survives-reset.ts'

t.test('a B2 that is busy twice at every step gets the file', async t => {
  await reachesB2(t, STEPS.map(step => ({ ...step, status: 503, times: 2 })))
})

survivesReset('during-body')

t.test('SlowDown is obeyed', async t => {
  await reachesB2(t, [{ operation: 'PutObject', status: 503, code: 'SlowDown', headers: { 'Retry-After': '1' } }], { sizes: [100 * KIB] })
})

t.test('Retry-After counts up to ten seconds, and not less than the backoff', async t => {
  const pauses: number[] = []
  const strategy = createRetryStrategy(4, FOR_UPLOADS, (async (ms: number) => { pauses.push(ms) }) as never)
  const busy = Object.assign(new Error('Please slow down'), { name: 'SlowDown', $metadata: { httpStatusCode: 503 } })
  const first = await strategy.acquireInitialRetryToken('')
  const ask = async (seconds: number) => {
    const token = await strategy.refreshRetryTokenForRetry(first, {
      error: busy as SdkError, errorType: 'THROTTLING', retryAfterHint: new Date(Date.now() + seconds * 1_000),
    })
    t.equal(token.getRetryDelay(), 0, 'the SDK does not wait once more')
    return pauses.pop()!
  }
  t.equal(await ask(3_600), 10_000)
  t.ok(await ask(-60) >= 0, 'a time that has passed is none')
})

t.test('the pause before another try ends with the request', async t => {
  const b2 = await startB2(t)
  const client = clientTo(t, b2)
  b2.fault({ operation: 'HeadObject', status: 503, times: Infinity })
  const cancel = new AbortController()
  const error = await client.send(new HeadObjectCommand({ Bucket: b2.bucket, Key: 'k' }), cancel.signal).then(() => undefined, (error: unknown) => error as SdkError)
  cancel.abort()
  const strategy = createRetryStrategy(4)
  const retryAfterHint = new Date(Date.now() + 3_600_000)
  const first = await strategy.acquireInitialRetryToken('')
  await t.rejects(strategy.refreshRetryTokenForRetry(first, { error: error!, errorType: 'THROTTLING', retryAfterHint }), { name: 'AbortError' })
})

t.test('an object that was stored in spite of an answer that says that something failed is left once, too', async t => {
  await reachesB2(t, [500, 502, 504].map(status => ({ operation: 'PutObject', status, apply: true })), { sizes: [100 * KIB] })
})

t.test('an object that was stored twice is left once', async t => {
  // The first look comes before B2 shows what it has stored, so the file is sent again.
  await reachesB2(t, [
    { operation: 'PutObject', action: 'lose-answer' },
    { operation: 'HeadObject', status: 404 },
  ], { sizes: [100 * KIB] })
})
