import t from 'tap'
import { CALM, setPromotionStage } from '../support/promotion/promotion.ts'
import { b2Env, startService } from '../support/service/service.ts'
import { isServed, store } from '../support/clients/served.ts'

t.test('a file that fell back is served from local storage, and a promotion changes nothing about it', async t => {
  const { b2, service, uploads } = await setPromotionStage(t)
  const down = b2.fault({ status: 503, times: Infinity })
  const kept = await store(service)
  const headers = await isServed(t, service, kept)
  await service.app.close()
  const again = await startService(t, { ...b2Env(b2), ...CALM, LOCAL_STORAGE_DIR: service.dir })
  t.strictSame(await isServed(t, again, kept), headers, 'the same after a restart')
  t.notOk(b2.requests.some(({ operation }) => operation === 'GetObject' || operation === 'HeadObject'), 'nobody asked B2')

  down.cancel()
  t.match(await again.app.uploads.promote(), { promoted: 4, pending: 0 })
  t.same(await again.localFiles(), [])
  t.strictSame(await isServed(t, again, kept), headers, 'the same from B2')
  await again.app.close()
  const third = await startService(t, { ...b2Env(b2), ...CALM, LOCAL_STORAGE_DIR: service.dir })
  t.strictSame(await isServed(t, third, kept), headers, 'and after another restart')
  t.equal(uploads.heldBytes, 0)
})

t.test('in local-only mode it is served, too', async t => {
  const service = await startService(t)
  const kept = await store(service)
  const headers = await isServed(t, service, kept)
  await service.app.close()
  t.strictSame(await isServed(t, await startService(t, { LOCAL_STORAGE_DIR: service.dir }), kept), headers)
})
