import { getEventListeners } from 'node:events'
import t from 'tap'
import type { Fault } from '../../../emulator/index.ts'
import { companionBody } from '../../../services/b2/object-receipt.ts'
import type { Track } from '../../../services/receipt.ts'
import { BODY, INFO, KEY, PARTS, setUpWriter } from '../../support/b2/object-writer.ts'
import { sha256 } from '../../support/service/service.ts'

const CONTEXT = { correlationId: 'of-the-upload', log: { info () {}, warn () {}, error () {} } }

t.test('put stores the object as it is described, and forgets its hash', async t => {
  const { b2, hashes, left, failures, put } = await setUpWriter(t)
  t.same(await put(), { ok: true, key: KEY, firstTry: true })
  t.match(b2.objects(), [{ key: KEY, sha256: sha256(BODY), contentType: 'audio/mpeg', metadata: { filename: 'song.mp3' } }])
  t.equal(hashes.has(BODY), false)
  t.same(await put({ key: 'bare', contentType: 'text/plain' }), { ok: true, key: 'bare', firstTry: true })
  t.same(b2.objects()[0]?.metadata, {})
  t.same([left, failures], [[], []])
})

t.test('put tells of a failure all that is known, without secrets', async t => {
  const { b2, hashes, left, failures, put } = await setUpWriter(t)
  b2.fault({ status: 403, message: 'the secret word' })
  t.same(await put(), {
    ok: false, error_code: 'access_denied', detail: 'The B2 key may not do this: HTTP status 403', raw: 'AccessDenied the *** word', weight: 'hard', retryable: false, status: 403, attempts: 1, mayBeStored: false,
  })
  t.same([left, failures, hashes.has(BODY)], [[], ['access_denied'], false])
})

t.test('many that begin at once leave no warning', async t => {
  const { b2, begin } = await setUpWriter(t)
  const warnings: unknown[] = []
  const warned = (warning: Error): void => { if (warning.name.startsWith('MaxListeners')) warnings.push(warning) }
  process.on('warning', warned)
  t.teardown(() => process.off('warning', warned))
  const held = b2.fault({ operation: 'CreateMultipartUpload', delayMs: 100, times: Infinity })
  const uploads = Array.from({ length: 24 }, (_, index) => begin({ ...INFO, key: `${KEY}-${index}` }))
  for (const upload of uploads) for (const part of PARTS) upload.push(part, part === PARTS[1]).catch(() => {})
  for (const upload of uploads) t.match(await upload.result, { ok: true })
  held.cancel()
  t.same(warnings, [])
})

t.test('put tells how often it tried', async t => {
  const { b2, put } = await setUpWriter(t, {}, { maxAttempts: 2 })
  t.intercept(Math, 'random', { value: () => 0 }) // no pause before the second try
  b2.fault({ status: 503, times: Infinity })
  t.match(await put(), { ok: false, attempts: 2, mayBeStored: false })
})

t.test('an object that may be there twice is left to the clean-up', async t => {
  for (const [context, id] of [[{}, {}], [{ context: CONTEXT }, { correlation_id: 'of-the-upload' }]] as const) {
    const { b2, left, put } = await setUpWriter(t)
    b2.fault({ operation: 'PutObject', action: 'reset' })
    t.same(await put({ ...INFO, ...context }), { ok: true, key: KEY, firstTry: false })
    t.same(left, [{ kind: 'doubles', key: KEY, ...id }])
  }
})

t.test('put ends with its signal, which is no failure of B2\'s', async t => {
  const { b2, left, failures, put } = await setUpWriter(t)
  b2.fault({ action: 'hang' })
  const controller = new AbortController()
  const hung = b2.waitFor('fault')
  const ended = b2.waitFor('response')
  const result = put(INFO, { signal: controller.signal })
  await hung
  controller.abort()
  t.match(await result, { ok: false, mayBeStored: true, attempts: 1 })
  await ended
  t.match(await put(INFO, { signal: controller.signal }), { ok: false })
  t.same([left, failures], [[], []])
  t.same(getEventListeners(controller.signal, 'abort'), [])
})

t.test('put signs with the hash it is given', async t => {
  const { b2, writer } = await setUpWriter(t)
  t.match(await writer.put(INFO, BODY, sha256(PARTS[1])), { ok: false, error_code: 'checksum_mismatch' })
  t.same(b2.objects(), [])
})

t.test('an upload that may have been begun twice leaves the other to the clean-up, though it is stored', async t => {
  const { b2, left, putParts } = await setUpWriter(t, {}, { maxAttempts: 2 })
  t.intercept(Math, 'random', { value: () => 0 }) // no pause before the second try
  b2.fault({ operation: 'CreateMultipartUpload', status: 500 })
  t.same(await putParts(), { ok: true, key: KEY, firstTry: false })
  t.same(left, [{ kind: 'uploads', key: KEY }])
})

t.test('parts are stored as they come, and each is told', async t => {
  const { b2, left, failures, putParts } = await setUpWriter(t)
  const acknowledged: number[] = []
  t.same(await putParts(INFO, { onPartStored: number => { acknowledged.push(number) } }), { ok: true, key: KEY, firstTry: true })
  t.same(acknowledged.sort(), [1, 2])
  t.match(b2.objects(), [{ sha256: sha256(Buffer.concat(PARTS)), contentType: 'audio/mpeg', metadata: { filename: 'song.mp3' } }])
  t.same([left, failures, b2.unfinishedUploads()], [[], [], []])
})

t.test('what a failed upload leaves is left to the clean-up', async t => {
  const upload = { kind: 'upload', key: KEY, uploadId: String }
  const cases: [string, Fault, string[], object[]][] = [
    ['a part fails', { operation: 'UploadPart', status: 403 }, ['access_denied'], [upload]],
    ['the completion fails', { operation: 'CompleteMultipartUpload', status: 403 }, ['access_denied'], [{ ...upload, mayComplete: true }]],
    ['the beginning is refused', { operation: 'CreateMultipartUpload', status: 403 }, ['access_denied'], []],
    ['the beginning is lost', { operation: 'CreateMultipartUpload', action: 'lose-answer' }, ['network_error'], [{ kind: 'uploads', key: KEY }]],
  ]
  for (const [name, fault, codes, expected] of cases) {
    for (const [context, id] of [[{}, {}], [{ context: CONTEXT }, { correlation_id: 'of-the-upload' }]] as const) {
      const { b2, writer, left, failures, putParts } = await setUpWriter(t)
      b2.fault(fault)
      t.match(await putParts({ ...INFO, ...context }), { ok: false, error_code: codes[0] }, name)
      await writer.close()
      t.match(left, expected.map(one => ({ ...one, ...id })), name)
      t.equal(left.length, expected.length)
      for (const one of left) {
        t.equal('correlation_id' in one, 'correlation_id' in id)
        t.equal('mayComplete' in one, name === 'the completion fails')
      }
      t.same(failures, codes)
    }
  }
})

t.test('a failure tells who pushes, and takes no more', async t => {
  const { b2, begin } = await setUpWriter(t)
  b2.fault({ operation: 'CreateMultipartUpload', status: 403 })
  const upload = begin()
  t.equal(upload.failed.aborted, false)
  await upload.push(PARTS[0])
  t.match(await upload.result, { ok: false })
  t.equal(upload.failed.aborted, true)
  // More than there are workers that could take one.
  for (let count = 0; count < 6; count++) await upload.push(PARTS[0])
  await upload.push(PARTS[1], true)
})

t.test('an upload that is aborted ends its requests, and is no failure of B2\'s', async t => {
  const { b2, writer, left, failures, begin } = await setUpWriter(t)
  b2.fault({ operation: 'UploadPart', action: 'hang' })
  const hung = b2.waitFor('fault')
  const ended = b2.waitFor('response', ({ operation }) => operation === 'UploadPart')
  const upload = begin()
  await upload.push(PARTS[0])
  await hung
  upload.abort()
  t.match(await upload.result, { ok: false, mayBeStored: false })
  await ended
  await writer.close()
  t.match(left, [{ kind: 'upload', key: KEY }])
  t.same(failures, [])
})

t.test('close ends all, and waits for what it leaves', async t => {
  const { b2, writer, left, failures, put, begin } = await setUpWriter(t)
  b2.fault({ operation: 'CreateMultipartUpload', delayMs: 100 })
  b2.fault({ operation: 'PutObject', action: 'hang' })
  const arrived = Promise.all(['PutObject', 'CreateMultipartUpload'].map(async name => await b2.waitFor('request', ({ operation }) => operation === name)))
  const results = [put(), begin()] as const
  await Promise.all([results[1].push(PARTS[0]), arrived])
  await writer.close()
  t.match([await results[0], await results[1].result], [{ ok: false, mayBeStored: true }, { ok: false }])
  t.match(left, [{ kind: 'upload', key: KEY, uploadId: String }])
  t.same(failures, [])
})

t.test('a receipt goes beside its file, and what B2 says to it is logged', async t => {
  const { b2, writer, left } = await setUpWriter(t)
  const track = { id: '1', key: KEY, filename: 'song.mp3' } as Track
  const told: object[] = []
  const log = { ...CONTEXT.log, warn: (fields: object) => { told.push(fields) } }
  const context = { ...CONTEXT, log }
  t.same(await writer.putReceipt(track, { context }), { ok: true, key: `${KEY}.receipt.json`, firstTry: true })
  t.match(b2.objects(), [{ key: `${KEY}.receipt.json`, contentType: 'application/json', sha256: sha256(companionBody(track)), metadata: {} }])
  b2.fault({ operation: 'PutObject', action: 'reset' })
  t.match(await writer.putReceipt({ ...track, key: 'tracks/other' }, { context }), { ok: true, firstTry: false })
  t.same([left, told], [[{ kind: 'doubles', key: 'tracks/other.receipt.json', correlation_id: 'of-the-upload' }], []])
  b2.fault({ status: 403, message: 'the secret word' })
  t.match(await writer.putReceipt(track, { context }), { ok: false })
  t.same(told, [{ event: 'b2.receipt_failed', key: KEY, error_code: 'access_denied', detail: 'The B2 key may not do this: HTTP status 403', attempts: 1, b2_says: 'AccessDenied the *** word' }])
  t.match(await writer.putReceipt(track, { signal: AbortSignal.abort() }), { ok: false })
  const own = await setUpWriter(t, { log })
  own.b2.fault({ status: 403 })
  await own.writer.putReceipt(track)
  t.equal(told.length, 2)
})
