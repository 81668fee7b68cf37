import Fastify from 'fastify'
import t from 'tap'
import b2Uploads, { optionsFromEnv } from '../../index.ts'
import { deleteDuring } from '../support/promotion/delete-during.ts'
import { holdsOf } from '../support/promotion/held-promotions.ts'
import { CALM, KIB, MIB, setPromotionStage } from '../support/promotion/promotion.ts'
import { b2Env, bytes, filesBelow, put, startB2 } from '../support/service/service.ts'
import { isEmpty, isNotFound, nameOf, remove } from '../support/service/stored-files.ts'

for (const held of holdsOf('first')) deleteDuring(held)

t.test('a file that is promoted while B2 takes its time to say what there is to delete is gone', async t => {
  for (const isElsewhere of [false, true]) {
    const first = await setPromotionStage(t)
    const { b2 } = first
    const { service } = isElsewhere ? await setPromotionStage(t, { LOCAL_STORAGE_DIR: first.service.dir }, b2) : first
    const { key } = await first.fallBack(KIB)
    b2.fault({ operation: 'ListObjectVersions', delayMs: 500 })
    const listed = b2.waitFor('applied', ({ operation }) => operation === 'ListObjectVersions')
    const removed = remove(service, nameOf(key))
    await listed
    t.match(await first.uploads.promote(), { promoted: 0, failed: 0, pending: 0 })
    t.equal((await removed).status, 204)
    await isNotFound(t, service, nameOf(key))
    await isEmpty(t, b2, service)
  }
})

for (const size of [KIB, 6 * MIB]) {
  t.test(`a file of ${size} bytes that is deleted while the host hears of its promotion is gone at once`, async t => {
    const b2 = await startB2(t)
    const dir = t.testdir()
    const app = Fastify()
    t.teardown(() => app.close())
    let [begin, end] = [(): void => {}, (): void => {}]
    const begun = new Promise<void>(resolve => { begin = resolve })
    let fails = false
    await app.register(b2Uploads, {
      ...optionsFromEnv({ ...b2Env(b2), ...CALM, LOCAL_STORAGE_DIR: dir }),
      async onPromoted () {
        begin()
        await new Promise<void>(resolve => { end = resolve })
        if (fails) throw new Error('the host is confused')
      },
    })
    const service = { url: await app.listen({ host: '127.0.0.1', port: 0 }), localFiles: () => filesBelow(dir) }
    for (const failing of [false, true]) {
      fails = failing
      const down = b2.fault({ operation: ['PutObject', 'CreateMultipartUpload'], status: 503, times: Infinity })
      const name = nameOf((await put(service, bytes(size))).body.track.key)
      down.cancel()
      const promoting = app.uploads.promote()
      await begun
      t.equal((await remove(service, name)).status, 204)
      await isNotFound(t, service, name)
      end()
      t.match(await promoting, { pending: 0 })
      await isNotFound(t, service, name)
      await isEmpty(t, b2, service)
      t.match(await app.uploads.promote(), { promoted: 0, failed: 0, pending: 0 })
    }
  })
}
