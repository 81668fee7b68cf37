import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { isPromoted, KIB, MIB, setPromotionStage } from '../support/promotion/promotion.ts'
import { cleanedUp } from '../support/promotion/promotion-strikes.ts'
import { sha256, startB2 } from '../support/service/service.ts'

const SMALL = 100 * KIB
const LARGE = 6 * MIB

t.test('a HeadObject that fails before the upload keeps the file here, and after it too', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t)
  const stored = await fallBack(SMALL)
  for (const after of [0, 1]) {
    for (const [fault, code] of [[{ status: 503 }, 'service_unavailable'], [{ action: 'reset' }, 'network_error'], [{ status: 403 }, 'access_denied']] as const) {
      b2.fault({ operation: 'HeadObject', after, ...fault, times: Infinity })
      t.match(await uploads.promote(), { promoted: 0, failed: 1, pending: 1 })
      t.match(service.log.of('promotion.failed').at(-1), { error_code: code })
      b2.clearFaults()
      if (after === 1) b2.reset()
    }
  }
  t.match(service.log.of('promotion.failed').at(-1), { hints: [/readFiles/] })
  t.match(await uploads.promote(), { promoted: 1 })
  await isPromoted(t, b2, service, [stored])
})

t.test('parts that have to be sent twice arrive whole, and so do the next', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t, { B2_MAX_ATTEMPTS: '2' })
  const stored = await fallBack(16 * MIB)
  b2.fault({ operation: 'UploadPart', part: 1, status: 503 })
  b2.fault({ operation: 'UploadPart', part: 2, action: 'reset', atByte: MIB })
  t.match(await uploads.promote(), { promoted: 1 })
  t.same(b2.requests.flatMap(({ operation, partNumber }) => operation === 'UploadPart' ? [partNumber] : []), [1, 1, 2, 2, 3, 4])
  await isPromoted(t, b2, service, [stored])
})

t.test('what B2 says it stored but does not show stays here, and is set aside in the end', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t)
  const stored = await fallBack(SMALL)
  // An object of the right size would show: B2 answers all looks with "not found".
  b2.fault({ operation: 'HeadObject', status: 404, times: Infinity })
  for (let failures = 1, passes = 1; failures <= 5; passes++) {
    const { failed, set_aside: setAside, skipped } = await uploads.promote()
    t.equal(failed + setAside + skipped, 1)
    if (skipped === 0) failures++
    if (setAside === 1) t.equal(passes, 5 + 1 + 2 + 4 + 8, 'left out of one pass, then of two, four and eight')
  }
  t.match(service.log.of('promotion.failed').map(({ level, error_code: code }) => [level, code]),
    [...Array(4).fill([40, 'checksum_mismatch']), [50, 'checksum_mismatch']])
  b2.clearFaults()
  t.match(await uploads.promote(), { set_aside: 1, pending: 1 })
  t.match(await uploads.promote({ retrySetAside: true }), { promoted: 1 })
  await cleanedUp({ b2, service })
  await isPromoted(t, b2, service, [stored])
})

t.test('a file that B2 keeps failing holds up no other', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t, { PROMOTE_CONCURRENCY: '1' })
  const bad = await fallBack(SMALL)
  const good = [await fallBack(SMALL), await fallBack(LARGE), await fallBack(0)]
  const fault = b2.fault({ operation: 'PutObject', key: bad.key, status: 500, times: Infinity })
  t.match(await uploads.promote(), { promoted: 0, failed: 1, pending: 4 }, 'a failing B2 is left to live uploads')
  t.match(await uploads.promote(), { promoted: 3, failed: 1, pending: 1 })
  for (let count = 0; count < 8; count++) t.match(await uploads.promote(), { failed: 1, set_aside: 0, pending: 1 }, 'never set aside')
  fault.cancel()
  t.match(await uploads.promote(), { promoted: 1, pending: 0 })
  await isPromoted(t, b2, service, [bad, ...good])
})

t.test('a file that B2 refuses does not end the pass', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t, { BREAKER_THRESHOLD: '1', BREAKER_RESET_MS: '500' })
  const bad = await fallBack(SMALL)
  const good = await fallBack(SMALL)
  await wait(500)
  b2.fault({ operation: 'PutObject', key: bad.key, status: 400 })
  t.match(await uploads.promote(), { promoted: 0, failed: 1 }, 'a probe that proves nothing')
  await wait(500)
  t.match(await uploads.promote(), { promoted: 1, skipped: 1, pending: 1 })
  t.match(await uploads.promote(), { promoted: 1, pending: 0 })
  await isPromoted(t, b2, service, [bad, good])
})

t.test('failures of promotions count in the circuit, and reads do not', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t, { BREAKER_THRESHOLD: '3', BREAKER_RESET_MS: '3600000' })
  await fallBack(SMALL)
  for (let count = 0; count < 4; count++) {
    b2.fault({ operation: 'HeadObject', status: 503 })
    t.match(await uploads.promote(), { failed: 1 })
  }
  t.same(service.log.of('breaker.open'), [], 'the fallback was the first')
  for (let count = 0; count < 2; count++) {
    b2.fault({ operation: 'PutObject', status: 503 })
    t.match(await uploads.promote(), { failed: 1 })
  }
  t.match(service.log.of('breaker.open'), [{ error_code: 'service_unavailable' }])
  t.match(await uploads.promote(), { failed: 0, promoted: 0, pending: 1 })
})

t.test('with a key that may not read nothing is promoted, and nothing lost', async t => {
  const b2 = await startB2(t, { capabilities: ['writeFiles'] })
  const { service, uploads, fallBack } = await setPromotionStage(t, {}, b2)
  const stored = await fallBack(SMALL)
  t.match(await uploads.promote(), { promoted: 0, failed: 1, pending: 1 })
  t.match(service.log.of('promotion.failed'), [{ error_code: 'access_denied', hints: [/readFiles/] }])
  t.ok((await service.localFiles()).includes(stored.key))
})

t.test('with a key that may neither list nor delete files are promoted', async t => {
  const b2 = await startB2(t, { capabilities: ['writeFiles', 'readFiles'] })
  const { uploads, fallBack } = await setPromotionStage(t, {}, b2)
  const stored = [await fallBack(SMALL), await fallBack(LARGE)]
  t.match(await uploads.promote(), { promoted: 2, pending: 0 })
  t.same(stored.map(({ key }) => sha256(b2.read(key)!)), stored.map(({ content }) => sha256(content)))
})
