import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { isPromoted, MIB, setPromotionStage } from '../support/promotion/promotion.ts'
import { bytes, put } from '../support/service/service.ts'

t.test('a completion that may still be carried out is written down before the file falls back and B2 is asked to end it, so that nobody promotes the file meanwhile', async t => {
  const first = await setPromotionStage(t, { B2_STALL_TIMEOUT_MS: '300' })
  const { b2, service } = first
  const second = await setPromotionStage(t, { LOCAL_STORAGE_DIR: service.dir }, b2)
  const content = bytes(6 * MIB)
  const complete = b2.fault({ operation: 'CompleteMultipartUpload', status: 503, times: Infinity })
  const abort = b2.fault({ operation: 'AbortMultipartUpload', delayMs: 1_500, status: 503 })
  const seen: object[] = []
  b2.on('request', ({ operation }) => {
    if (operation !== 'AbortMultipartUpload') return
    const dir = join(service.dir, '.leftovers')
    for (const name of readdirSync(dir)) seen.push(JSON.parse(readFileSync(join(dir, name), 'utf8')))
  })
  const { body } = await put(service, content)
  t.equal(body.storage, 'local')
  complete.cancel()
  t.match(await second.uploads.promote(), { promoted: 0, skipped: 1, pending: 1 })
  t.match(seen, [{ kind: 'upload', key: body.track.key, mayComplete: true }])
  abort.cancel()
  while (b2.unfinishedUploads().length > 0 || (await service.localFiles()).some(name => name.startsWith('.leftovers'))) await b2.waitFor('response')
  t.match(await second.uploads.promote(), { promoted: 1 })
  await isPromoted(t, b2, service, [{ key: body.track.key, content }])
})
