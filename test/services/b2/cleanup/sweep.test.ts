import t from 'tap'
import { uuidv7 } from '../../../../services/keys.ts'
import { clientTo, DAY, inPagesOfOne, setUp, withPast } from '../../../support/b2/cleanup-stage.ts'

/** A key as the service makes them, in the order of `number`. */
const keyOf = (number: number): string => `tracks/${uuidv7(number)}.mp3`

t.test('unfinished uploads that are too old are swept, and only those under the prefix', async t => {
  const stage = await setUp(t)
  const [old, young, slow, stalled] = [1, 2, 3, 4].map(keyOf) as [string, string, string, string]
  const elsewhere = old.replace('tracks/', 'elsewhere/')
  for (const key of [elsewhere, old, old, young]) await stage.begin(key)
  for (const key of [slow, stalled]) {
    const uploadId = await stage.begin(key)
    for (const part of [1, 2, 3]) await stage.putPart(key, uploadId, part)
  }
  const client = inPagesOfOne(withPast(clientTo(t, stage.b2), {
    begun: key => key === young ? DAY / 2 : 2 * DAY,
    // The client sends a part now and then.
    partCame: (key, part) => key === slow ? (3 - part) * DAY : 2 * DAY,
  }))
  const of = stage.start({ client })
  await of.cleanup.sweepUnfinished('tracks/', DAY)
  t.same(stage.b2.unfinishedUploads().map(({ key }) => key).sort(), [elsewhere, young, slow].sort())
  t.match(of.log.lines, [{ event: 'b2.swept', count: 3 }])
})

t.test('those of other programs stay, however alike their keys are', async t => {
  const id = uuidv7()
  const ofVersion = (version: number): string => `${id.slice(0, 14)}${version}${id.slice(15)}`
  const own = [`t${id}`, `t${id}.mp3`, `t${id}.a2345678`, `t${ofVersion(8)}.wav`]
  const others = [
    'tmp/a.bin', `t/${id}.mp3`, `tracks/${id}.mp3`, `t${id}.MP3`, `t${id.toUpperCase()}.mp3`, `t${id}.a23456789`, `t${id}.tar.gz`, `t${id}.`, `t${id}.mp3/a`,
    `t${id}.receipt.json`, `tt${id}`, `t-${id}`, `t${id} `, `t${ofVersion(4)}`, `t${ofVersion(1)}.mp3`, `t${id.slice(1)}`, `t${id}0`,
    `t${id.slice(0, 19)}c${id.slice(20)}`,
  ]
  const stage = await setUp(t)
  for (const key of [...own, ...others]) await stage.begin(key)
  const of = stage.start({ client: withPast(clientTo(t, stage.b2), { begun: () => 9 * DAY, partCame: () => 9 * DAY }) })
  await of.cleanup.sweepUnfinished('t', DAY)
  t.same(stage.b2.unfinishedUploads().map(({ key }) => key).sort(), others.sort())
  t.match(of.log.of('b2.swept'), [{ count: own.length }])
})

t.test('one whose file or receipt is here stays, also if it comes at the last moment, or can\'t be told', async t => {
  const stage = await setUp(t)
  const [here, late, unknown, gone] = [1, 2, 3, 4].map(keyOf) as [string, string, string, string]
  for (const key of [here, late, unknown, gone]) await stage.begin(key)
  const asked: string[] = []
  const of = stage.start({
    client: withPast(clientTo(t, stage.b2), { begun: () => 2 * DAY, partCame: () => 0 }),
    async isWanted (key) {
      asked.push(key)
      if (key === unknown) throw new Error('EIO')
      return key === here || (key === late && asked.filter(each => each === late).length > 1)
    },
  })
  await of.cleanup.sweepUnfinished('tracks/', DAY)
  t.same(stage.b2.unfinishedUploads().map(({ key }) => key).sort(), [here, late, unknown])
  t.equal(asked.filter(key => key === gone).length, 2, 'again right before')
})

t.test('the sweep goes by B2\'s clock where this machine\'s is wrong', async t => {
  const stage = await setUp(t)
  await stage.begin(keyOf(1))
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
