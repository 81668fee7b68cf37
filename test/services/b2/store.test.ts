import t from 'tap'
import type { Fault } from '../../../emulator/index.ts'
import { feedsWorkersDirectly } from '../../../services/b2/part-feed.ts'
import type { B2Result, B2Store, B2StoreOptions } from '../../../services/b2/store.ts'
import { PART, setB2Stage } from '../../support/b2/stage.ts'
import { settled } from '../../support/faults/fault-matrix.ts'
import { FAULT_ROWS, outcomeAt } from '../../support/faults/fault-rows.ts'
import { bytes, sha256 } from '../../support/service/service.ts'
import { INFO, putParts } from '../../support/b2/store.ts'

async function putBytes (store: B2Store, content: Buffer): Promise<B2Result> {
  return await store.put(INFO, content, sha256(content))
}

t.test('put stores an object with its type and metadata', async t => {
  const { b2, store } = await setB2Stage(t)
  for (const size of [0, 1, 1_000_000]) {
    const content = bytes(size)
    t.same(await putBytes(store, content), { ok: true, key: INFO.key, firstTry: true })
    t.match(b2.objects(), [{ key: INFO.key, size, sha256: sha256(content), contentType: 'audio/mpeg', metadata: { filename: 'song.mp3' } }])
  }
  t.ok(b2.requests.every(({ operation }) => operation === 'PutObject'), 'one request each, and nothing else')
})

t.test('put signs with the hash it is given', async t => {
  const { b2, store } = await setB2Stage(t)
  t.match(await store.put(INFO, Buffer.from('one'), sha256(Buffer.from('two'))), { ok: false, error_code: 'checksum_mismatch', attempts: 1, mayBeStored: false })
  t.same(b2.objects(), [])
})

t.test('begin stores parts as they are pushed, and tells each that was acknowledged', async t => {
  const { b2, store } = await setB2Stage(t)
  t.match(store, { partBytes: PART, concurrency: 5 })
  const content = bytes(3 * PART + 1)
  const acknowledged: [number, boolean][] = []
  t.same(await putParts(store, content, acknowledged), { ok: true, key: INFO.key, firstTry: true })
  t.same(acknowledged.sort(), [[1, true], [2, true], [3, true], [4, true]])
  t.match(b2.objects(), [{ key: INFO.key, sha256: sha256(content), contentType: 'audio/mpeg', metadata: { filename: 'song.mp3' } }])
  t.match(b2.objects()[0]?.etag, /-4$/)
  t.same(b2.unfinishedUploads(), [])
})

t.test('a try that failed is told, so that its buffer is not used again', async t => {
  const { b2, store } = await setB2Stage(t)
  for (const fault of [{ status: 503 }, { action: 'reset', at: 'during-body' }, { action: 'reset', at: 'after-body' }, { action: 'lose-answer' }] satisfies Fault[]) {
    b2.fault({ operation: 'PutObject', ...fault })
    t.same(await putBytes(store, bytes(300_000)), { ok: true, key: INFO.key, firstTry: false }, JSON.stringify(fault))
    b2.reset()
  }
  b2.fault({ operation: 'UploadPart', part: 2, status: 503 })
  const acknowledged: [number, boolean][] = []
  t.match(await putParts(store, bytes(2 * PART), acknowledged), { ok: true, firstTry: false })
  t.same(acknowledged.sort(), [[1, true], [2, false]])
})

t.test('put gives every failure its code', async t => {
  const { b2, store } = await setB2Stage(t)
  for (const { name, fault, always } of FAULT_ROWS.filter(({ stalls }) => stalls !== true)) {
    b2.fault({ operation: 'PutObject', times: Infinity, ...fault })
    const result = await putBytes(store, bytes(1_000))
    const expected = outcomeAt(always, 'put')
    t.match(result, expected === 'b2' ? { ok: true, key: INFO.key } : { ok: false, error_code: expected, detail: /^[^<>]+$/, raw: /./ }, name)
    b2.reset()
  }
})

t.test('a failure says how often the request was tried', async t => {
  const { b2, store } = await setB2Stage(t, { maxAttempts: 3 })
  b2.fault({ operation: 'PutObject', status: 503, times: Infinity })
  t.match(await putBytes(store, bytes(10)), { ok: false, attempts: 3, weight: 'soft', status: 503 })
  t.equal(b2.requests.length, 3)
  b2.reset()
  b2.fault({ operation: 'PutObject', status: 403, times: Infinity })
  t.match(await putBytes(store, bytes(10)), { ok: false, attempts: 1, weight: 'hard', status: 403 })
})

t.test('stalls are tried once more, on a new connection, however many tries there are', async t => {
  const { b2, store } = await setB2Stage(t, { maxAttempts: 4, stallTimeoutMs: 200 })
  b2.fault({ operation: 'UploadPart', part: 1, action: 'stop-reading', times: Infinity })
  t.match(await putParts(store, bytes(PART + 1)), { ok: false, error_code: 'timeout' })
  const tries = b2.requests.filter(({ partNumber }) => partNumber === 1)
  t.equal(tries.length, 2)
  t.not(tries[0]?.connection, tries[1]?.connection)
})

t.test('a port that nobody listens on is a network_error, a host that is not there too', async t => {
  const { b2, store } = await setB2Stage(t)
  await b2.refuseConnections()
  t.match(await putBytes(store, bytes(10)), { ok: false, error_code: 'network_error', detail: 'B2 could not be reached: connection refused', attempts: 2, mayBeStored: false })
  t.match(await putParts(store, bytes(PART + 1)), { ok: false, error_code: 'network_error' })
  const nowhere = await setB2Stage(t, { endpoint: 'http://no-such-host.invalid', maxAttempts: 1 })
  t.match(await putBytes(nowhere.store, bytes(10)), { ok: false, error_code: 'network_error' })
})

t.test('wrong settings have codes of their own', async t => {
  const cases: [Partial<B2StoreOptions>, string][] = [
    [{ applicationKeyId: '004wrong000000000000000001' }, 'auth_error'],
    [{ applicationKey: 'K004wrong' }, 'auth_error'],
    [{ region: 'eu-central-003' }, 'auth_error'],
    [{ bucket: 'no-such-bucket' }, 'bucket_not_found'],
  ]
  for (const [options, error_code] of cases) {
    const { store } = await setB2Stage(t, options)
    t.match(await putBytes(store, bytes(10)), { ok: false, error_code, weight: 'hard' }, JSON.stringify(options))
    t.match(await putParts(store, bytes(PART + 1)), { ok: false, error_code, weight: 'hard' })
  }
  const { store } = await setB2Stage(t, {}, { capabilities: ['readFiles'] })
  t.match(await putBytes(store, bytes(10)), { ok: false, error_code: 'access_denied', weight: 'hard' })
})

t.test('an object that may be stored is told, and removed with all its versions on demand', async t => {
  const { b2, store } = await setB2Stage(t)
  b2.fault({ operation: 'PutObject', action: 'lose-answer' })
  b2.fault({ operation: 'HeadObject', status: 503, times: Infinity })
  t.match(await putBytes(store, bytes(10)), { ok: false, error_code: 'network_error', mayBeStored: true })
  await putBytes(store, bytes(10))
  t.equal(b2.versions().length, 2)
  void store.forget(INFO.key)
  await settled(b2, () => b2.versions().length === 0)
})

t.test('an object that was stored twice is left once', async t => {
  const { b2, store } = await setB2Stage(t)
  const content = bytes(10)
  const removed = b2.waitFor('response', ({ operation }) => operation === 'DeleteObject')
  b2.fault({ operation: 'PutObject', action: 'lose-answer' })
  // B2 does not show at once what it has stored.
  b2.fault({ operation: 'HeadObject', status: 404 })
  t.match(await putBytes(store, content), { ok: true })
  t.match(await removed, { status: 204, versionId: String })
  t.match(b2.versions(), [{ sha256: sha256(content), isHideMarker: false }])
  t.equal(b2.versions().length, 1)
})

t.test('a clean-up that B2 refuses is tried again', async t => {
  const { b2, store, log } = await setB2Stage(t)
  b2.fault({ operation: 'UploadPart', status: 403, times: Infinity })
  b2.fault({ operation: 'AbortMultipartUpload', status: 403 })
  t.match(await putParts(store, bytes(PART + 1)), { ok: false })
  t.match(await log.until(({ event }) => event === 'b2.cleanup_failed'), { kind: 'upload', key: INFO.key, error_code: 'access_denied' })
  store.retryCleanup()
  await settled(b2, () => b2.unfinishedUploads().length === 0)
})

t.test('abort ends an upload and leaves nothing', async t => {
  const { b2, store } = await setB2Stage(t)
  const upload = store.begin(INFO, { onPartStored () {}, mayFallBack: () => true })
  const stored = b2.waitFor('applied', ({ operation }) => operation === 'UploadPart')
  await upload.push(bytes(PART))
  await stored
  upload.abort()
  t.match(await upload.result, { ok: false, mayBeStored: false })
  t.equal(upload.failed.aborted, true)
  await upload.push(bytes(PART), true) // nobody takes it, and nobody waits for that
  await settled(b2, () => b2.unfinishedUploads().length === 0)
  t.same(b2.versions(), [])
})

t.test('requests under way are cancelled with their upload', async t => {
  // Nothing but the cancelling ends these.
  const { b2, store } = await setB2Stage(t, { stallTimeoutMs: 3_600_000 })
  for (const round of [1, 2]) {
    const hanging = b2.fault({ operation: 'UploadPart', part: 1, action: 'hang', times: Infinity })
    const hung = b2.waitFor('fault')
    const ended = b2.waitFor('response', ({ partNumber }) => partNumber === 1)
    const upload = store.begin(INFO, { onPartStored () {}, mayFallBack: () => true })
    await upload.push(bytes(PART))
    await hung
    if (round === 1) {
      upload.abort()
      t.match(await upload.result, { ok: false, mayBeStored: false })
    } else {
      b2.fault({ operation: 'UploadPart', part: 2, status: 403 })
      await upload.push(bytes(PART))
      t.match(await upload.result, { ok: false, error_code: 'access_denied' }, 'the first failure ends the others')
    }
    t.match(await ended, { outcome: 'hung' })
    hanging.cancel()
    await settled(b2, () => b2.unfinishedUploads().length === 0)
    t.same(b2.versions(), [])
  }
})

t.test('close ends what is under way, and says what may be stored', async t => {
  const { b2, store } = await setB2Stage(t, { stallTimeoutMs: 3_600_000 })
  b2.fault({ operation: ['PutObject', 'CompleteMultipartUpload'], action: 'lose-answer-hang', times: Infinity })
  const hung = b2.waitFor('fault', ({ operation }) => operation === 'PutObject')
  const completing = b2.waitFor('fault', ({ operation }) => operation === 'CompleteMultipartUpload')
  const results = Promise.all([putBytes(store, bytes(10)), putParts(store, bytes(PART + 1))])
  await Promise.all([hung, completing])
  await store.close()
  t.match(await results, [{ ok: false, mayBeStored: true }, { ok: false, mayBeStored: true }])
})

t.test('abort while the upload is being completed says that it may be stored', async t => {
  const { b2, store } = await setB2Stage(t)
  b2.fault({ operation: 'CompleteMultipartUpload', action: 'lose-answer-hang' })
  const upload = store.begin(INFO, { onPartStored () {}, mayFallBack: () => true })
  const stored = b2.waitFor('fault')
  await upload.push(bytes(PART))
  await upload.push(bytes(1), true)
  await stored
  upload.abort()
  t.match(await upload.result, { ok: false, mayBeStored: true })
})

t.test('close logs what could not be removed', async t => {
  const { b2, store, log } = await setB2Stage(t)
  b2.fault({ operation: 'CompleteMultipartUpload', status: 403 })
  b2.fault({ operation: 'AbortMultipartUpload', status: 403, times: Infinity })
  t.match(await putParts(store, bytes(PART + 1)), { ok: false, error_code: 'access_denied' })
  await store.close()
  t.match(log.of('b2.leftovers'), [{ leftovers: [{ kind: 'upload', key: INFO.key }] }])
})

t.test('lib-storage has the worker that parts are fed to', async t => {
  t.equal(feedsWorkersDirectly(), true, 'the installed version changed its inside: parts would be copied; look at part-upload.ts')
})

t.test('B2\'s words are cut to 500 characters, and no part of the key is left at the cut', async t => {
  const { b2, store } = await setB2Stage(t)
  const { secretAccessKey } = b2.credentials
  const message = 'x'.repeat(500 - 'InvalidArgument '.length - 10) + secretAccessKey + 'x'.repeat(10_000)
  b2.fault({ status: 400, code: 'InvalidArgument', message })
  const result = await putBytes(store, bytes(10))
  const raw = result.ok ? '' : result.raw
  t.equal(raw.length, 500)
  t.notOk(raw.includes(secretAccessKey.slice(0, 6)))
})
