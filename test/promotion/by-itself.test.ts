import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { fallBack, isPromoted, KIB, MIB, PART, setPromotionStage } from '../support/promotion/promotion.ts'
import { bytes, put } from '../support/service/service.ts'
import { circuitEvents, letPass, promoted } from '../support/promotion/by-itself.ts'

t.test('files are promoted every PROMOTE_INTERVAL_MS', async t => {
  const { b2, service, fallBack } = await setPromotionStage(t, { PROMOTE_INTERVAL_MS: '100' })
  const stored = [await fallBack(KIB)]
  await promoted(service, 1)
  stored.push(await fallBack(12 * MIB), await fallBack(2 * KIB))
  await promoted(service, 3)
  await service.app.close()
  await isPromoted(t, b2, service, stored)
})

t.test('a pass begins at once when the circuit closes', async t => {
  const { b2, service, fallBack } = await setPromotionStage(t, { BREAKER_THRESHOLD: '1', BREAKER_RESET_MS: '100', PROMOTE_INTERVAL_MS: '3600000' })
  const stored = [await fallBack(KIB), await fallBack(KIB), await fallBack(6 * MIB)]
  await wait(100)
  const { body } = await put(service, bytes(KIB))
  t.equal(body.storage, 'b2', 'the probe')
  await promoted(service, 3)
  await service.app.close()
  await isPromoted(t, b2, service, stored)
})

t.test('with PROMOTE_INTERVAL_MS=0 nothing is promoted but by a call', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t, { BREAKER_THRESHOLD: '1', BREAKER_RESET_MS: '100' })
  const stored = [await fallBack(KIB)]
  await wait(100)
  t.match((await put(service, bytes(KIB))).body, { storage: 'b2' })
  await service.log.until(({ event }) => event === 'breaker.closed')
  // A pass that had begun with the circuit's closing would come before this one.
  t.match(await uploads.promote({ dryRun: true }), { pending: 1 })
  t.same(service.log.of('promotion.done'), [])
  t.match(await uploads.promote(), { promoted: 1 })
  await isPromoted(t, b2, service, stored)
})

t.test('a promotion is the probe of an idle service', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t, { BREAKER_THRESHOLD: '1', BREAKER_RESET_MS: '600000' })
  const stored = [await fallBack(12 * MIB), await fallBack(KIB), await fallBack(KIB)]
  const before = b2.requests.length
  t.match(await uploads.promote(), { promoted: 0, failed: 0, pending: 3 })
  t.equal(b2.requests.length, before, 'while the circuit is open B2 is left alone')

  letPass(t, 600_000)
  const down = b2.fault({ operation: ['PutObject', 'CreateMultipartUpload'], status: 503, times: Infinity })
  t.match(await uploads.promote(), { promoted: 0, failed: 1, pending: 3 })
  t.same(circuitEvents(service), ['breaker.open', 'breaker.half_open', 'breaker.open'])
  t.match(await uploads.promote(), { failed: 0, pending: 3 }, 'open again, for the whole time')
  down.cancel()

  letPass(t, 600_000)
  t.match(await uploads.promote(), { promoted: 3, pending: 0 })
  t.same(circuitEvents(service).slice(3), ['breaker.half_open', 'breaker.closed'])
  await isPromoted(t, b2, service, stored)
})

t.test('two services on one directory promote each file once', async t => {
  const first = await setPromotionStage(t)
  const stored = []
  for (let count = 0; count < 6; count++) stored.push(await first.fallBack(count % 3 === 0 ? 6 * MIB : KIB))
  const second = await setPromotionStage(t, { LOCAL_STORAGE_DIR: first.service.dir }, first.b2)
  const reports = await Promise.all([first.uploads.promote(), second.uploads.promote()])
  t.equal(reports[0].promoted + reports[1].promoted, 6, 'together all')
  t.same([reports[0].failed, reports[1].failed], [0, 0])
  const done = first.b2.requests.filter(({ operation, status }) => status === 200 && (operation === 'PutObject' || operation === 'CompleteMultipartUpload'))
  t.same(done.map(({ key }) => key).sort(), stored.map(({ key }) => key))
  await isPromoted(t, first.b2, first.service, stored)
})

t.test('an app that closes stops between two parts, and the next start goes on', async t => {
  const first = await setPromotionStage(t)
  const stored = [await first.fallBack(12 * MIB)]
  const begun = first.b2.waitFor('request', ({ operation }) => operation === 'UploadPart')
  const promoting = first.uploads.promote()
  await begun
  await first.service.app.close()
  t.match(await promoting, { promoted: 0, failed: 0, pending: 1 })
  t.equal(first.b2.requests.filter(({ operation }) => operation === 'CompleteMultipartUpload').length, 0)
  const second = await setPromotionStage(t, { LOCAL_STORAGE_DIR: first.service.dir }, first.b2)
  t.match(await second.uploads.promote(), { promoted: 1 })
  await isPromoted(t, first.b2, second.service, stored)
})

for (const size of [KIB, PART + 1]) {
  t.test(`an app closes in time though B2 hangs while ${size} bytes are promoted`, async t => {
    const { b2, service, uploads, fallBack } = await setPromotionStage(t, { SHUTDOWN_GRACE_MS: '200', B2_STALL_TIMEOUT_MS: '3600000' })
    const { key } = await fallBack(size)
    b2.fault({ operation: ['PutObject', 'UploadPart'], action: 'hang', times: Infinity })
    const hung = b2.waitFor('fault')
    const promoting = uploads.promote()
    await hung
    await service.app.close()
    t.match(await promoting, { promoted: 0, failed: 0, pending: 1 })
    t.ok((await service.localFiles()).includes(key), 'the file is still here')
  })
}

t.test('a signal ends a pass at a safe point', async t => {
  const { b2, uploads, fallBack } = await setPromotionStage(t, { PROMOTE_CONCURRENCY: '1' })
  const { key } = await fallBack(12 * MIB)
  await fallBack(KIB)
  const stop = new AbortController()
  b2.waitFor('request', ({ operation }) => operation === 'UploadPart').then(() => stop.abort(), () => {})
  t.match(await uploads.promote({ signal: stop.signal }), { promoted: 0, failed: 0, pending: 2 })
  while (b2.unfinishedUploads().length > 0) await b2.waitFor('response')
  t.equal(b2.read(key), undefined)
  t.match(await uploads.promote({ signal: AbortSignal.abort() }), { promoted: 0, pending: 2 })
  t.match(await uploads.promote(), { promoted: 2 })
})

t.test('files that fall back during a pass are for the next', async t => {
  const { b2, service, uploads, fallBack: fall } = await setPromotionStage(t, { PROMOTE_CONCURRENCY: '1' })
  const stored = [await fall(12 * MIB)]
  const begun = b2.waitFor('request', ({ operation }) => operation === 'UploadPart')
  const promoting = uploads.promote()
  await begun
  stored.push(await fallBack(t, b2, service, KIB))
  t.match(await promoting, { promoted: 1, pending: 1 })
  t.match(await uploads.promote(), { promoted: 1, pending: 0 })
  await isPromoted(t, b2, service, stored)
})
