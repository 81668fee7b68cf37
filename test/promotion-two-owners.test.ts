import { unlink } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { fallBackFor, hold, HOLDS } from './support/held-promotions.ts'
import { setPromotionStage, untilB2 } from './support/promotion.ts'
import { receiptOf } from './support/stored-files.ts'

for (const at of ['a put on its way', 'a put that is done', 'the look whether B2 has got it', 'the completion that is done']) {
  t.test(`a promotion that went on although another one had taken over removes nothing: ${at}`, async t => {
    const first = await setPromotionStage(t)
    const { b2, service, uploads } = first
    const second = await setPromotionStage(t, { LOCAL_STORAGE_DIR: service.dir }, b2)
    const held = HOLDS.find(({ name }) => name === at)!
    const name = await fallBackFor(held, first)
    const { delayMs, bytesPerSecond = 1 } = held.fault
    const begun = hold(b2, { ...held, fault: { ...held.fault, ...(delayMs === undefined ? { bytesPerSecond: bytesPerSecond / 4 } : { delayMs: delayMs * 4 }) } })
    const promoting = uploads.promote()
    await begun
    // To the second service as if the first one had died: it can claim the file.
    await unlink(join(service.dir, 'tracks', `.${name}.claim`))
    t.match(await second.uploads.promote(), { promoted: 1 })
    t.match(await promoting, { failed: 0, pending: 0 })
    await service.app.close() // which ends what it has begun to remove
    await untilB2(b2, () => b2.unfinishedUploads().length === 0)
    t.match(await receiptOf(second.service, name), { status: 200, body: { storage: 'b2' } })
    t.same(await second.service.localFiles(), [])
  })
}

t.test('a file that another service is promoting is left out, and said to be', async t => {
  const first = await setPromotionStage(t)
  const { b2, service, uploads } = first
  const second = await setPromotionStage(t, { LOCAL_STORAGE_DIR: service.dir }, b2)
  const held = HOLDS.find(({ name }) => name === 'a put that is done')!
  await fallBackFor(held, first)
  const begun = hold(b2, { ...held, fault: { operation: 'PutObject', delayMs: 3_000 } })
  const promoting = uploads.promote()
  await begun
  t.match(await second.uploads.promote(), { promoted: 0, failed: 0, skipped: 1, pending: 1 })
  t.match(await promoting, { promoted: 1, pending: 0 })
  t.same(second.service.log.of('promotion.failed'), [])
  t.same(await service.localFiles(), [])
})
