import t from 'tap'
import type { SdkError } from '@smithy/types'
import { createRetryStrategy } from '../services/b2/retry-strategy.ts'
import { KIB, MIB } from './support/fault-matrix.ts'
import { reachesB2, STEPS } from './support/transient.ts'

t.test('a B2 that is busy twice at every step gets the file', async t => {
  await reachesB2(t, STEPS.map(step => ({ ...step, status: 503, times: 2 })))
})

for (const at of ['before-body', 'during-body', 'after-body'] as const) {
  t.test(`one reset ${at} at every step is survived`, async t => {
    await reachesB2(t, STEPS.map(step => ({ ...step, action: 'reset', at })))
  })
}

t.test('SlowDown is obeyed', async t => {
  await reachesB2(t, STEPS.map(step => ({ ...step, status: 503, code: 'SlowDown', headers: { 'Retry-After': '1' } })), { sizes: [100 * KIB, 12 * MIB] })
})

t.test('Retry-After counts up to ten seconds, and not less than the backoff', async t => {
  const strategy = createRetryStrategy(4)
  const busy = Object.assign(new Error('Please slow down'), { name: 'SlowDown', $metadata: { httpStatusCode: 503 } })
  const first = await strategy.acquireInitialRetryToken('')
  const ask = async (seconds: number) => (await strategy.refreshRetryTokenForRetry(first, {
    error: busy as SdkError, errorType: 'THROTTLING', retryAfterHint: new Date(Date.now() + seconds * 1_000),
  })).getRetryDelay()
  t.equal(await ask(3_600), 10_000)
  t.ok(await ask(-60) >= 0, 'a time that has passed is none')
})

t.test('an object that was stored twice is left once', async t => {
  // The first look comes before B2 shows what it has stored, so the file is sent again.
  await reachesB2(t, [
    { operation: 'PutObject', action: 'lose-answer' },
    { operation: 'HeadObject', status: 404 },
  ], { sizes: [100 * KIB] })
})
