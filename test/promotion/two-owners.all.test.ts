import { unlink } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { fallBackFor, hold, HOLDS } from '../support/promotion/held-promotions.ts'
import { setPromotionStage } from '../support/promotion/promotion.ts'

const holdAt = (name: string) => HOLDS.find(hold => hold.name === name)!

// Where the first is held when the second takes over, and where the second is held then, for longer; undefined: the first is.
for (const [at, then] of [
  ['a put on its way', undefined],
  ['a put that is done', undefined],
  ['the look whether B2 has got it', undefined],
  ['the completion that is done', undefined],
  ['a put on its way', 'the look whether B2 has it'],
  ['a put on its way', 'a put on its way'],
  ['the first part on its way', 'the first part on its way'],
  ['the last part that is done', 'the last part that is done'],
] as const) {
  t.test(`of two promotions of a file neither removes what the other one stored: ${at}, ${then ?? 'for long'}`, async t => {
    const first = await setPromotionStage(t)
    const { b2, service } = first
    const second = await setPromotionStage(t, { LOCAL_STORAGE_DIR: service.dir }, b2)
    const held = holdAt(at)
    const name = await fallBackFor(held, first)
    const firstHeld = hold(b2, held)
    const firstReport = first.uploads.promote()
    await firstHeld.begun
    // To the second service as if the first one had died: it can claim the file.
    await unlink(join(service.dir, 'tracks', `.${name}.claim`))
    const secondHeld = then === undefined ? undefined : hold(b2, holdAt(then))
    const secondReport = second.uploads.promote()
    await secondHeld?.begun
    if (secondHeld === undefined) {
      t.match(await secondReport, { promoted: 1 })
      firstHeld.release()
      t.match(await firstReport, { failed: 0, pending: 0 })
    } else {
      firstHeld.release()
      t.match(await firstReport, { promoted: 1 })
      secondHeld.release()
      t.match(await secondReport, { failed: 0, pending: 0 })
    }
    for (const { service } of [first, second]) await service.app.close() // which ends what it has begun to remove
    t.same(b2.unfinishedUploads(), [])
    t.same(b2.versions().map(({ key }) => key), [`tracks/${name}`], 'it is there, and once')
    t.same(await service.localFiles(), [])
  })
}

t.test('a file that another service is promoting is left out, and said to be', async t => {
  const first = await setPromotionStage(t)
  const { b2, service, uploads } = first
  const second = await setPromotionStage(t, { LOCAL_STORAGE_DIR: service.dir }, b2)
  const held = holdAt('a put that is done')
  await fallBackFor(held, first)
  const { begun, release } = hold(b2, held)
  const promoting = uploads.promote()
  await begun
  t.match(await second.uploads.promote(), { promoted: 0, failed: 0, skipped: 1, pending: 1 })
  release()
  t.match(await promoting, { promoted: 1, pending: 0 })
  t.same(second.service.log.of('promotion.failed'), [])
  t.same(await service.localFiles(), [])
})
