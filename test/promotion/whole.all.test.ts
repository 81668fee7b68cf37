import { Readable } from 'node:stream'
import t from 'tap'
import { putObject, storeOn } from '../support/b2/stage.ts'
import { isPromoted, KIB, MIB, PART, setPromotionStage } from '../support/promotion/promotion.ts'
import { bytes, put } from '../support/service/service.ts'

t.test('the payload hashes of parts are signed', async t => {
  const { b2, uploads, fallBack } = await setPromotionStage(t)
  for (const [size, count] of [[12 * MIB, 3], [2 * PART, 2]] as const) {
    const { key } = await fallBack(size)
    await uploads.promote()
    const parts = b2.requests.filter(request => request.operation === 'UploadPart' && request.key === key && request.status === 200)
    t.equal(parts.length, count)
    for (const { headers } of parts) t.match(headers['x-amz-content-sha256'], /^[0-9a-f]{64}$/)
  }
})

t.test('a file is not promoted before its upload that failed is removed from B2', async t => {
  const { b2, service, uploads } = await setPromotionStage(t)
  const content = bytes(12 * MIB)
  const busy = b2.fault({ operation: 'CompleteMultipartUpload', status: 503, times: Infinity })
  const stuck = b2.fault({ operation: 'AbortMultipartUpload', status: 503, times: Infinity })
  const { body } = await put(service, content)
  t.equal(body.storage, 'local')
  busy.cancel()
  t.match(await uploads.promote(), { promoted: 0, failed: 0, skipped: 1, elsewhere: 0, pending: 1 })
  stuck.cancel()
  while (b2.unfinishedUploads().length > 0) await b2.waitFor('response')
  while ((await uploads.promote()).pending > 0);
  await isPromoted(t, b2, service, [{ key: body.track.key, content }])
})

t.test('a receipt whose object is gone, or another one, is set aside', async t => {
  const { b2, service, uploads } = await setPromotionStage(t)
  const down = b2.fault({ operation: 'PutObject', key: /receipt/, status: 503, times: Infinity })
  const [, other] = [await uploads.store(Readable.from([Buffer.alloc(6 * MIB, 'x')])), await uploads.store(Readable.from([Buffer.alloc(6 * MIB, 'y')]))]
  down.cancel()
  b2.reset()
  await putObject(storeOn(t, b2), other.location, Buffer.alloc(KIB, 'x'))
  const files = await service.localFiles()
  t.match(await uploads.promote(), { set_aside: 1, failed: 1, pending: 2 })
  const isGone = { detail: 'B2 does not have the object that this receipt was kept for' }
  t.match(service.log.of('promotion.failed'), [
    { level: 40, ...isGone },
    { level: 50, set_aside: true, key: other.location, detail: 'The object in B2 has 1024 bytes, its receipt says 6291456' },
  ])
  // It may be that B2 does not show it yet.
  while (service.log.of('promotion.failed').length < 6) t.match(await uploads.promote(), { pending: 2 })
  t.match(service.log.of('promotion.failed').slice(2), [...Array.from({ length: 3 }, () => ({ level: 40, ...isGone })), { level: 50, set_aside: true, ...isGone }])
  t.match(await uploads.promote(), { set_aside: 2, pending: 2 })
  const left = await service.localFiles()
  for (const name of files) t.ok(left.includes(name), 'it is still here')
})
