import t from 'tap'
import { filesIn, KIB, setPromotionStage } from '../support/promotion/promotion.ts'
import { bytes, put } from '../support/service/service.ts'
import { circuitEvents, letPass } from '../support/promotion/by-itself.ts'

t.test('while a promotion probes, uploads go to local storage, and 50 of them cause no other probe', async t => {
  // So long is also a probe's time for its verdict: a busy machine needs some for 50 uploads.
  const { b2, service, uploads, fallBack } = await setPromotionStage(t, { BREAKER_THRESHOLD: '1', BREAKER_RESET_MS: '600000', B2_STALL_TIMEOUT_MS: '600000' })
  const { key } = await fallBack(KIB)
  letPass(t, 600_000)
  b2.fault({ operation: 'PutObject', action: 'hang' })
  const hangs = b2.waitFor('fault')
  const probing = uploads.promote()
  await hangs
  t.same(circuitEvents(service), ['breaker.open', 'breaker.half_open'])
  const writes = (): number => b2.requests.filter(({ operation }) => operation === 'PutObject' || operation === 'CreateMultipartUpload').length
  await Promise.all(Array.from({ length: 50 }, async () => {
    t.match((await put(service, bytes(10))).body, { storage: 'local' })
  }))
  t.equal(writes(), 2, 'that of the fallback, and that of the probe')
  await b2.refuseConnections()
  t.match(await probing, { promoted: 0, failed: 1, pending: 51 })
  await b2.acceptConnections()
  letPass(t, 600_000)
  t.match(await uploads.promote(), { promoted: 51, pending: 0 })
  t.equal(filesIn(b2).length, 51)
  t.ok(filesIn(b2).some(file => file.key === key))
})
