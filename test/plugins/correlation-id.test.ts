import Fastify from 'fastify'
import t from 'tap'
import b2Uploads, { optionsFromEnv } from '../../index.ts'
import { filePart, form, postBody } from '../support/forms/forms.ts'
import { sendHalf } from '../support/clients/half-sent.ts'
import { CALM, KIB, MIB, setPromotionStage } from '../support/promotion/promotion.ts'
import { b2Env, bytes, createLogBook, post, put, startB2, startService } from '../support/service/service.ts'
import type { LogLine } from '../support/service/service.ts'
import { nameOf, receiptOf, remove } from '../support/service/stored-files.ts'

const TRACE = { trace_id: '0af7651916cd43dd8448eb211c80319c', span_id: 'b7ad6b7169203331', trace_flags: '01' }
const traceparent = `00-${TRACE.trace_id}-${TRACE.span_id}-${TRACE.trace_flags}`

const eventsOf = (lines: readonly LogLine[]): unknown[] => lines.map(({ event }) => event)
/** Those that no upload's id is in. */
const strayOf = (lines: readonly LogLine[], id: string): LogLine[] => lines.filter(line => line['correlation_id'] !== id)

t.test('from its failure in B2 to its promotion every line of an upload has its correlation id, and those of its request the trace', async t => {
  const { b2, service, uploads } = await setPromotionStage(t, { BREAKER_THRESHOLD: '1', BREAKER_RESET_MS: '100', B2_MAX_ATTEMPTS: '2' })
  const { log } = service
  const before = log.lines.length
  const broken = [b2.fault({ operation: 'UploadPart', status: 503, times: Infinity }), b2.fault({ operation: 'AbortMultipartUpload', status: 503, times: Infinity })]
  const { status, body } = await put(service, bytes(6 * MIB), 'song.mp3', { 'x-correlation-id': 'the-upload', traceparent })
  t.match({ status, body }, { status: 201, body: { storage: 'local' } })
  await log.until(({ event }) => event === 'b2.cleanup_failed')
  while ((await uploads.promote()).failed === 0) { /* the circuit is still open */ }
  for (const fault of broken) fault.cancel()
  while ((await uploads.promote()).pending > 0) { /* the circuit is still open */ }

  const lines = log.lines.slice(before)
  for (const event of ['b2.failed', 'breaker.open', 'upload.stored', 'b2.cleanup_failed', 'breaker.half_open', 'promotion.failed', 'breaker.closed', 'promotion.done']) {
    t.ok(eventsOf(lines).includes(event), event)
  }
  t.same(strayOf(lines, 'the-upload'), [])
  for (const event of ['b2.failed', 'breaker.open', 'upload.stored']) t.match(lines.find(line => line.event === event), TRACE)
})

t.test('after a restart it still does, for a file as for a receipt alone, and for what is to be removed from B2', async t => {
  const b2 = await startB2(t)
  const env = { ...b2Env(b2), ...CALM }
  const first = await startService(t, env)
  const companions = b2.fault({ operation: 'PutObject', key: /\.receipt\.json$/, status: 503, times: Infinity })
  const alone = await put(first, bytes(6 * MIB), 'song.mp3', { 'x-correlation-id': 'of-the-receipt' })
  t.same(await first.localFiles(), [`${alone.body.location}.receipt.json`])
  t.same(strayOf(first.log.of('b2.receipt_failed'), 'of-the-receipt'), [])
  companions.cancel()
  const down = b2.fault({ operation: ['PutObject', 'UploadPart', 'AbortMultipartUpload'], status: 503, times: Infinity })
  const fallen = await put(first, bytes(6 * MIB), 'song.mp3', { 'x-correlation-id': 'of-the-file' })
  t.same((await receiptOf(first, nameOf(fallen.body.track.key))).body, fallen.body, 'which the receipt does not show')
  await first.log.until(({ event }) => event === 'b2.cleanup_failed')
  await first.app.close()

  const second = await startService(t, { ...env, LOCAL_STORAGE_DIR: first.dir })
  t.match(await second.log.until(({ event }) => event === 'b2.cleanup_failed'), { correlation_id: 'of-the-file' })
  down.cancel()
  // So B2 does not show what it got, and may have it twice in the end.
  b2.fault({ operation: 'HeadObject', key: fallen.body.track.key, after: 1, status: 403 })
  t.match(await second.app.uploads.promote(), { promoted: 1, failed: 1 })
  t.match(second.log.of('promotion.failed'), [{ key: fallen.body.track.key, correlation_id: 'of-the-file' }])
  b2.fault({ operation: 'ListObjectVersions', status: 503 })
  t.match(await second.app.uploads.promote(), { promoted: 1, pending: 0 })
  t.match(await second.log.until(({ kind }) => kind === 'doubles'), { event: 'b2.cleanup_failed', correlation_id: 'of-the-file' })
  t.match(second.log.of('promotion.done').map(({ key, correlation_id: id }) => [key, id]), [[alone.body.track.key, 'of-the-receipt'], [fallen.body.track.key, 'of-the-file']])
})

t.test('what a host\'s hooks make of an upload has its correlation id', async t => {
  const b2 = await startB2(t)
  const log = createLogBook()
  const app = Fastify({ logger: { stream: log.stream } })
  const fail = (): never => { throw new Error('the host is confused') }
  await app.register(b2Uploads, { ...optionsFromEnv({ ...b2Env(b2), ...CALM, LOCAL_STORAGE_DIR: t.testdir() }), onStored: fail, onPromoted: fail })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  const down = b2.fault({ operation: 'PutObject', status: 503, times: Infinity })
  await put({ url }, bytes(KIB), 'song.mp3', { 'x-correlation-id': 'the-upload', traceparent })
  down.cancel()
  await app.uploads.promote()
  t.match(log.lines.filter(({ event }) => event !== undefined).map(({ event, hook, correlation_id: id }) => [event, hook, id]), [
    ['b2.failed', undefined, 'the-upload'], ['upload.stored', undefined, 'the-upload'], ['hook.failed', 'onStored', 'the-upload'],
    ['hook.failed', 'onPromoted', 'the-upload'], ['promotion.failed', undefined, 'the-upload'],
  ])
})

t.test('what a deletion leaves to be done has the id of the request that asked for it', async t => {
  const { b2, service, fallBack } = await setPromotionStage(t)
  const { key } = await fallBack(KIB)
  b2.fault({ operation: 'ListObjectVersions', status: 503, times: Infinity })
  const before = service.log.lines.length
  t.equal((await remove(service, nameOf(key), { headers: { 'x-correlation-id': 'the-deletion' } })).status, 204)
  const line = await service.log.until(({ event }) => event === 'b2.cleanup_failed')
  t.match(line, { key, correlation_id: 'the-deletion' })
  t.same(strayOf(service.log.lines.slice(before), 'the-deletion'), [])
})

t.test('an upload that was not stored has the id of its answer in each line', async t => {
  const service = await startService(t, { UPLOAD_MAX_BYTES: String(KIB), API_KEYS: 'a-key-of-some-length', LOG_LEVEL: 'debug' })
  const authorization = 'Bearer a-key-of-some-length'
  const refusals = {
    'without a key': (id: string) => put(service, bytes(1), 'a', { 'x-correlation-id': id }),
    'too large': (id: string) => put(service, bytes(2 * KIB), 'a', { 'x-correlation-id': id, authorization }),
    'no form': (id: string) => postBody(service, bytes(1), 'text/plain', { 'x-correlation-id': id, authorization }),
    'two files': (id: string) => postBody(service, form(filePart('a'), filePart('b')), undefined, { 'x-request-id': id, authorization }),
    'a form that breaks off': (id: string) => postBody(service, filePart('a'), undefined, { 'x-correlation-id': id, authorization }),
  }
  for (const [name, refuse] of Object.entries(refusals)) {
    const id = name.replaceAll(' ', '-')
    const before = service.log.lines.length
    const { status, headers } = await refuse(id)
    t.ok(status >= 400, name)
    t.equal(headers.get('x-correlation-id'), id)
    const lines = service.log.lines.slice(before)
    t.equal(lines.filter(({ event }) => event === 'upload.failed').length, 1)
    t.same(strayOf(lines, id), [])
  }
  const before = service.log.lines.length
  const half = await sendHalf(t, service, bytes(KIB), { name: 'a', headers: { 'x-correlation-id': 'the-one-that-left', authorization } })
  while (service.app.uploads.inFlight === 0) await new Promise(setImmediate)
  half.client.socket.destroy()
  await service.log.until(({ event }) => event === 'upload.aborted')
  t.same(strayOf(service.log.lines.slice(before), 'the-one-that-left'), [])
  t.equal((await post(service, bytes(1))).status, 401)
})
