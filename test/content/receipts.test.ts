import t from 'tap'
import { CALM, MIB, setPromotionStage } from '../support/promotion/promotion.ts'
import { b2Env, bytes, post, sha256, startService } from '../support/service/service.ts'
import { FIELDS, LONG, TAGS, isAsAnswered, store } from '../support/uploads/kept-receipts.ts'

t.test('the receipt is what the upload was answered with, in B2, also after a restart, and from an empty directory', async t => {
  const { b2, service } = await setPromotionStage(t)
  const kept = await store(service)
  t.match(kept.map(({ answer }) => answer.body), kept.map(({ content }) => ({ storage: 'b2', track: { sha256: sha256(content) } })))
  t.match(kept.map(({ answer }) => answer.body.track), [
    { filename: 'Lied ☂ 夢 & 100 %.MP3', metadata: FIELDS, audio: { title: TAGS.title } }, { metadata: LONG }, { filename: '長い歌.wav', audio: { title: TAGS.title } }, { audio: null },
  ])
  t.equal(b2.objects().filter(({ key }) => key.endsWith('.receipt.json')).length, 2, 'two of them have it beside the object')
  await isAsAnswered(t, service, kept)

  await service.app.close()
  const again = await startService(t, { ...b2Env(b2), ...CALM, LOCAL_STORAGE_DIR: service.dir })
  await isAsAnswered(t, again, kept)
  const elsewhere = await startService(t, { ...b2Env(b2), ...CALM })
  await isAsAnswered(t, elsewhere, kept)
})

t.test('a receipt that B2 did not take is told from local storage, then from B2', async t => {
  const { b2, service, uploads } = await setPromotionStage(t)
  const down = b2.fault({ operation: 'PutObject', key: /receipt/, status: 503, times: Infinity })
  const content = bytes(6 * MIB)
  const kept = [{ content, answer: await post(service, content, 'a', { before: FIELDS }) }]
  t.match(kept[0]!.answer.body, { storage: 'b2' })
  await isAsAnswered(t, service, kept)
  down.cancel()
  t.match(await uploads.promote(), { promoted: 1, pending: 0 })
  t.same(await service.localFiles(), [])
  await isAsAnswered(t, service, kept)
})
