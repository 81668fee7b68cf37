import t from 'tap'
import { CALM, MIB, setPromotionStage } from '../support/promotion/promotion.ts'
import { b2Env, sha256, startService } from '../support/service/service.ts'
import { nameOf, receiptOf } from '../support/service/stored-files.ts'
import { isAsAnswered, store } from '../support/uploads/kept-receipts.ts'

const inB2 = ({ track }: any): object => ({ storage: 'b2', location: track.key, track })

t.test('the receipt of a fallback says why, until the file is in B2, also after restarts', async t => {
  const { b2, service } = await setPromotionStage(t)
  const down = b2.fault({ status: 503, times: Infinity })
  const kept = await store(service)
  t.match(kept.map(({ answer }) => answer.body), kept.map(() => ({
    storage: 'local', fallback_from_b2: true, fallback_reason: { error_code: 'service_unavailable', detail: String },
  })))
  const reads = (): unknown[] => b2.requests.filter(({ operation }) => operation === 'HeadObject' || operation === 'GetObject')
  const before = reads().length
  await isAsAnswered(t, service, kept)
  await service.app.close()
  const again = await startService(t, { ...b2Env(b2), ...CALM, LOCAL_STORAGE_DIR: service.dir })
  await isAsAnswered(t, again, kept)
  t.equal(reads().length, before, 'B2 is not asked')
  down.cancel()

  t.match(await again.app.uploads.promote(), { promoted: 4, pending: 0 })
  await isAsAnswered(t, again, kept, inB2)
  await again.app.close()
  const third = await startService(t, { ...b2Env(b2), ...CALM, LOCAL_STORAGE_DIR: service.dir })
  await isAsAnswered(t, third, kept, inB2)
  await isAsAnswered(t, await startService(t, { ...b2Env(b2), ...CALM }), kept, inB2)
})

t.test('in local-only mode it is so, too, without a word on B2', async t => {
  const service = await startService(t)
  const kept = await store(service)
  t.same(kept.map(({ answer }) => Object.keys(answer.body)), kept.map(() => ['storage', 'location', 'track']))
  await isAsAnswered(t, service, kept)
  await service.app.close()
  await isAsAnswered(t, await startService(t, { LOCAL_STORAGE_DIR: service.dir }), kept)
})

t.test('a file is found while it is promoted, at every request to B2', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t)
  for (const size of [1_000, 12 * MIB]) {
    const { key, content } = await fallBack(size)
    const name = nameOf(key)
    const seen: Promise<string>[] = []
    const off = (['request', 'applied', 'response'] as const).map(event => b2.on(event, ({ operation, id }) => {
      // Reading asks B2, too, in the end.
      if (seen.length < 100) seen.push(receiptOf(service, name).then(({ status, body }) => `${status} ${body.track?.sha256}, ${event} of ${operation} ${id}`))
    }))
    t.match(await uploads.promote(), { promoted: 1 })
    for (const stop of off) stop()
    const answers = await Promise.all(seen)
    t.ok(answers.length >= 6)
    t.same(answers.filter(answer => !answer.startsWith(`200 ${sha256(content)},`)), [])
  }
})
