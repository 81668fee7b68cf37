import t from 'tap'
import { clientTo, DAY, inPagesOfOne, setUp, withPast } from '../support/b2-cleanup-stage.ts'

t.test('unfinished uploads older than a day are swept, and only those under the prefix', async t => {
  const stage = await setUp(t)
  for (const key of ['elsewhere/old.mp3', 'tracks/old.mp3', 'tracks/old.mp3', 'tracks/young.mp3']) await stage.begin(key)
  for (const key of ['tracks/slow.mp3', 'tracks/stalled.mp3']) {
    const uploadId = await stage.begin(key)
    for (const part of [1, 2, 3]) await stage.putPart(key, uploadId, part)
  }
  const client = inPagesOfOne(withPast(clientTo(t, stage.b2), {
    begun: key => key === 'tracks/young.mp3' ? DAY / 2 : 2 * DAY,
    // The client sends a part now and then.
    partCame: (key, part) => key === 'tracks/slow.mp3' ? (3 - part) * DAY : 2 * DAY,
  }))
  const of = stage.start({ client })
  await of.cleanup.sweepUnfinished('tracks/', DAY)
  t.same(stage.b2.unfinishedUploads().map(({ key }) => key), ['elsewhere/old.mp3', 'tracks/slow.mp3', 'tracks/young.mp3'])
  t.match(of.log.lines, [{ event: 'b2.swept', count: 3 }])
})

t.test('the sweep goes by B2\'s clock where this machine\'s is wrong', async t => {
  const stage = await setUp(t)
  await stage.begin()
  const client = withPast(clientTo(t, stage.b2), { begun: () => 2 * DAY, partCame: () => 0 })
  // B2 is two days behind, which the SDK knows by the Date header of its answers.
  const of = stage.start({ client: { ...client, config: { ...client.config, systemClockOffset: -2 * DAY } } })
  await of.cleanup.sweepUnfinished('tracks/', DAY)
  t.equal(stage.b2.unfinishedUploads().length, 1)
})

t.test('the sweep looks again only after an hour, but at once where B2 failed', async t => {
  const stage = await setUp(t)
  const of = stage.start()
  const fault = stage.b2.fault({ status: 503, times: Infinity })
  await of.cleanup.sweepUnfinished('tracks/', DAY)
  await of.cleanup.sweepUnfinished('tracks/', DAY)
  t.equal(stage.b2.requests.length, 2)
  t.match(of.log.lines, [{ event: 'b2.sweep_failed', error_code: 'service_unavailable' }])
  t.equal(of.log.lines.length, 1)
  fault.cancel()
  await Promise.all([of.cleanup.sweepUnfinished('tracks/', DAY), of.cleanup.sweepUnfinished('tracks/', DAY)])
  await of.cleanup.sweepUnfinished('tracks/', DAY)
  t.equal(stage.b2.requests.length, 3)
  const { now } = performance
  t.intercept(performance, 'now', { value: () => now.call(performance) + 3_600_000 })
  await of.cleanup.sweepUnfinished('tracks/', DAY)
  t.equal(stage.b2.requests.length, 4)
})

t.test('where the application key may not list there is no sweep, which is said once', async t => {
  const stage = await setUp(t, { capabilities: ['readFiles', 'writeFiles', 'deleteFiles'] })
  const of = stage.start()
  stage.b2.fault({ operation: 'ListMultipartUploads', status: 403, times: Infinity })
  for (let count = 0; count < 3; count++) await of.cleanup.sweepUnfinished('tracks/', DAY)
  t.equal(stage.b2.requests.length, 1)
  t.match(of.log.lines, [{ event: 'b2.sweep_refused', error_code: 'access_denied' }])
  t.equal(of.log.lines.length, 1)
})
