import t from 'tap'
import { sha256 } from '../support/service/service.ts'
import { countsOf, scrape } from '../support/service/metrics.ts'
import { contentOf, get, receiptOf } from '../support/service/stored-files.ts'
import { begin, checkSplit, DOWN, isJoined, MIB, PART, setSplitStage, SIZE } from '../support/split/split.ts'
import { bytes } from '../support/run/bytes.ts'

t.test('a large file that B2 fails in the middle is split, and joined once B2 is well', async t => {
  const stage = await setSplitStage(t)
  const { b2, service, uploads } = stage
  const content = bytes(SIZE)
  const upload = await begin(service, b2, content, { acknowledged: 2 })
  const down = b2.fault(DOWN)
  const answer = await upload.finish()
  checkSplit(t, answer, content)
  const { track: { key, ...track }, split, fallback_reason: reason } = answer.body
  const name = answer.headers.get('location')!.slice('/uploads/'.length)
  t.same(split, { b2_bytes: 2 * PART, local_bytes: PART + MIB })
  t.match(reason, { error_code: 'service_unavailable' })
  t.match(service.log.of('upload.stored'), [{
    level: 40, storage: 'split', location: key, size_bytes: SIZE, fallback_from_b2: true, fallback_reason: reason, duration_ms: Number, correlation_id: answer.headers.get('x-correlation-id'),
  }])
  t.match(service.log.lines.filter(({ event }) => event === 'b2.failed' || event?.startsWith('upload.') === true).map(({ event }) => event), ['b2.failed', 'upload.stored'])

  const receipt = await receiptOf(service, name)
  t.same([receipt.status, receipt.body], [200, answer.body])
  const unread = await get(service, `/uploads/${name}/content`)
  t.match(unread, { status: 503, body: { error_code: 'storage_unavailable', detail: new RegExp(`^B2 has ${2 * PART} bytes of it, and the other ${PART + MIB} `) } })
  t.ok(Number(unread.headers.get('retry-after')) > 0)
  const head = await fetch(`${service.url}/uploads/${name}/content`, { method: 'HEAD' })
  t.equal(head.status, 503)
  t.ok(Number(head.headers.get('retry-after')) > 0)

  const split202 = (await scrape(service)).samples
  t.same(countsOf(split202, 'uploads_total', 'upload_bytes_total', 'upload_fallbacks_total'), {
    'uploads_total{storage="split",result="stored"}': 1, 'upload_bytes_total{storage="split"}': SIZE, 'upload_fallbacks_total{error_code="service_unavailable"}': 1,
  })
  t.match(Object.fromEntries(split202), { promotions_pending: 1, promotions_pending_bytes: PART + MIB, upload_memory_held_bytes: 0 })
  t.match((await get(service, '/ready')).body, { pending_promotions: 1 })

  down.cancel()
  t.match(await uploads.promote(), { promoted: 1, failed: 0, pending: 0, bytes: PART + MIB })
  await isJoined(t, stage, { key, content })
  t.equal(await contentOf(service, name), sha256(content))
  t.same((await receiptOf(service, name)).body, { storage: 'b2', location: key, track: { key, ...track } })
  t.match(service.log.of('promotion.done'), [{ key, duration_ms: Number, correlation_id: answer.headers.get('x-correlation-id') }])
  const joined = (await scrape(service)).samples
  t.same(countsOf(joined, 'promotions_total'), { 'promotions_total{result="failed"}': 1, 'promotions_total{result="promoted"}': 1 }, 'the first try was before the answer')
  t.match(Object.fromEntries(joined), { promotions_pending: 0, promotions_pending_bytes: 0, split_files_broken_total: 0, upload_memory_held_bytes: 0 })
  t.equal(b2.requests.filter(({ operation, partNumber, status }) => operation === 'UploadPart' && partNumber! <= 2 && status === 200).length, 2, 'what B2 had was not sent again')
})

t.test('a split file is joined by itself', async t => {
  const stage = await setSplitStage(t, { PROMOTE_INTERVAL_MS: '100' })
  const { service, split } = stage
  const one = await split()
  one.down.cancel()
  await service.log.until(({ event }) => event === 'promotion.done')
  await isJoined(t, stage, one)
})
