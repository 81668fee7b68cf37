import { Registry } from 'prom-client'
import Fastify from 'fastify'
import t from 'tap'
import b2Uploads from '../../index.ts'
import { B2_ERROR_CODES } from '../../services/b2/error-codes.ts'
import { UPLOAD_ERROR_CODES } from '../../services/upload-errors.ts'
import { begin, send } from '../support/clients/leaving-client.ts'
import { countsOf, samplesOf, scrape } from '../support/service/metrics.ts'
import { KIB, MIB, setPromotionStage } from '../support/promotion/promotion.ts'
import { bytes, put, startService } from '../support/service/service.ts'
import { get, nameOf } from '../support/service/stored-files.ts'

const COUNTERS = ['uploads_total', 'upload_errors_total', 'upload_bytes_total', 'upload_fallbacks_total', 'b2_errors_total', 'promotions_total', 'upload_duration_seconds_count']

t.test('every counter is there with 0 before anything has happened', async t => {
  const service = await startService(t)
  const { status, headers, text, samples } = await scrape(service)
  t.equal(status, 200)
  t.match(headers.get('content-type'), /^text\/plain; version=0\.0\.4/)
  t.same(countsOf(samples, ...COUNTERS), {})
  for (const code of B2_ERROR_CODES) for (const name of ['b2_errors_total', 'upload_fallbacks_total']) t.equal(samples.get(`${name}{error_code="${code}"}`), 0)
  for (const code of UPLOAD_ERROR_CODES) t.equal(samples.get(`upload_errors_total{error_code="${code}"}`), 0)
  for (const name of COUNTERS) t.match(text, new RegExp(`^# HELP ${name.replace('_count', '')} \\S.*\\.$`, 'm'))
  for (const name of ['process_resident_memory_bytes', 'process_cpu_seconds_total', 'nodejs_eventloop_lag_p99_seconds', 'nodejs_heap_size_used_bytes']) {
    t.ok(samples.has(name), `a default of prom-client: ${name}`)
  }
  t.same(countsOf(samples, 'b2_circuit_state'), { 'b2_circuit_state{state="disabled"}': 1 })
  t.equal(samples.get('upload_memory_budget_bytes'), 268_435_456)
  t.equal(samples.get('local_storage_writable'), 1)
  t.ok(samples.get('local_storage_free_bytes')! > 0)
  t.ok(samples.get('local_storage_free_inodes')! > 0)
})

t.test('uploads, failures of B2, fallbacks and promotions are counted by what became of them', async t => {
  const { b2, service } = await setPromotionStage(t, { B2_MAX_ATTEMPTS: '2', BREAKER_THRESHOLD: '2', UPLOAD_MAX_BYTES: String(20 * KIB) })
  await put(service, bytes(3 * KIB))
  t.equal((await put(service, bytes(21 * KIB))).status, 413)
  const leaving = await begin(service, 'PUT', bytes(10 * KIB))
  leaving.destroy()
  await service.log.until(({ event }) => event === 'upload.aborted')
  b2.fault({ status: 503, times: Infinity })
  for (let count = 0; count < 3; count++) t.equal((await put(service, bytes(KIB))).body.storage, 'local')
  const { samples } = await scrape(service)
  t.same(countsOf(samples, ...COUNTERS), {
    'uploads_total{storage="b2",result="stored"}': 1,
    'uploads_total{storage="local",result="stored"}': 3,
    'uploads_total{storage="none",result="failed"}': 1,
    'uploads_total{storage="none",result="aborted"}': 1,
    'upload_errors_total{error_code="file_too_large"}': 1,
    'upload_bytes_total{storage="b2"}': 3 * KIB,
    'upload_bytes_total{storage="local"}': 3 * KIB,
    'upload_duration_seconds_count{storage="b2"}': 1,
    'upload_duration_seconds_count{storage="local"}': 3,
    'upload_fallbacks_total{error_code="service_unavailable"}': 3,
    'b2_errors_total{error_code="service_unavailable"}': 2, // the third upload did not ask B2
  })
  t.same(countsOf(samples, 'b2_circuit_state'), { 'b2_circuit_state{state="open"}': 1 })
  t.equal(samples.get('promotions_pending'), 3)
  t.equal(samples.get('uploads_in_flight'), 0)
})

t.test('promotions are counted by how they ended', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t, { PROMOTE_CONCURRENCY: '1' })
  for (const size of [1, 2, 3]) await fallBack(size)
  const before = (await scrape(service)).samples
  t.equal(before.get('promotions_pending'), 3)
  b2.fault({ operation: 'PutObject', status: 403, code: 'AccessDenied' })
  t.match(await uploads.promote(), { failed: 1 })
  t.match(await uploads.promote({ retrySetAside: true }), { promoted: 3 })
  const { samples } = await scrape(service)
  t.same(countsOf(samples, 'promotions_total'), { 'promotions_total{result="failed"}': 1, 'promotions_total{result="promoted"}': 3 })
  t.equal(samples.get('b2_errors_total{error_code="access_denied"}'), 1)
  t.equal(samples.get('promotions_pending'), 0)
})

t.test('an upload that was cancelled is no failure of B2, and a file that is not there is none either', async t => {
  const { b2, service } = await setPromotionStage(t)
  const content = bytes(11 * MIB)
  const arrived = b2.waitFor('request', ({ operation }) => operation === 'UploadPart')
  const client = await begin(service, 'PUT', content)
  await send(client, content.subarray(0, 10 * MIB))
  await arrived
  client.destroy()
  await service.log.until(({ event }) => event === 'upload.aborted')
  t.equal((await get(service, '/uploads/019a3c5e-6f0a-7c3b-9d51-2f1c8a7be001.mp3')).status, 404)
  t.same(countsOf((await scrape(service)).samples, 'b2_errors_total'), {})
})

t.test('what readers meet of B2 is counted, too', async t => {
  const { b2, service } = await setPromotionStage(t, { B2_MAX_ATTEMPTS: '1' })
  const { body } = await put(service, bytes(KIB))
  b2.fault({ operation: 'HeadObject', status: 503, times: Infinity })
  b2.fault({ operation: 'GetObject', status: 503, times: Infinity })
  t.equal((await get(service, `/uploads/${nameOf(body.track.key)}`)).status, 503)
  t.same(countsOf((await scrape(service)).samples, 'b2_errors_total'), { 'b2_errors_total{error_code="service_unavailable"}': 1 })
})

t.test('with API_KEYS the metrics need one', async t => {
  const service = await startService(t, { API_KEYS: 'a-key-for-metrics' })
  t.equal((await scrape(service)).status, 401)
  t.equal((await scrape(service, { authorization: 'Bearer a-key-for-metrics' })).status, 200)
  t.equal((await scrape(service, { authorization: 'Bearer a-key-for-metrics' })).samples.get('upload_errors_total{error_code="unauthorized"}'), 0, 'that was no upload')
})

t.test('a host app has them in its own registry, with a prefix for each of two, and gets it back clean', async t => {
  const registry = new Registry()
  const before = registry.getMetricsAsArray().length
  const app = Fastify()
  await app.register(b2Uploads, { local: { dir: t.testdir() }, metrics: { registry } })
  await app.register(b2Uploads, { local: { dir: t.testdir({ other: {} }) }, decoratorName: 'masters', prefix: '/masters', metrics: { registry, prefix: 'masters_' } })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  await put({ url }, bytes(7))
  await put({ url: `${url}/masters` }, bytes(5))
  await put({ url: `${url}/masters` }, bytes(5))
  const samples = samplesOf(await registry.metrics())
  t.equal(samples.get('uploads_total{storage="local",result="stored"}'), 1)
  t.equal(samples.get('masters_uploads_total{storage="local",result="stored"}'), 2)
  t.equal((await fetch(`${url}/metrics`)).status, 404, 'the host serves them')
  await app.close()
  t.equal(registry.getMetricsAsArray().length, before)
})

t.test('two with the same names in one registry are refused, with words on what to do', async t => {
  const registry = new Registry()
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(b2Uploads, { local: { dir: t.testdir() }, metrics: { registry } })
  app.register(b2Uploads, { local: { dir: t.testdir({ other: {} }) }, decoratorName: 'masters', prefix: '/masters', metrics: { registry } })
  await t.rejects(async () => { await app.ready() }, { message: /metrics\.registry has a metric "uploads_total" already: set metrics\.prefix/ })
})
