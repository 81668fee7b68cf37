import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { S3Client } from '@aws-sdk/client-s3'
import t from 'tap'
import { createB2Store } from '../../../../services/b2/store.ts'
import type { B2StoreOptions } from '../../../../services/b2/store.ts'
import { uuidv7 } from '../../../../services/keys.ts'
import { putObject, setB2Stage, storeOn } from '../../../support/b2/stage.ts'
import { settled } from '../../../support/faults/fault-matrix.ts'
import { quiet } from '../../../support/run/quiet.ts'
import { bytes, sha256 } from '../../../support/service/service.ts'

const KEY = 'tracks/song.mp3'
const BARE: B2StoreOptions = { endpoint: 'http://127.0.0.1:1', region: 'r', bucket: 'b', applicationKeyId: 'i', applicationKey: 'k' }

t.test('what is not said is as documented', async t => {
  const store = createB2Store(BARE)
  t.match(store, { partBytes: 8_388_608, concurrency: 5 })
  t.equal(await store.forget(KEY), false, 'without a directory nothing is written down')
  await store.close()
  const other = createB2Store({ ...BARE, partBytes: 6_000_000, concurrency: 2 })
  t.match(other, { partBytes: 6_000_000, concurrency: 2 })
  await other.close()
  t.throws(() => createB2Store({ ...BARE, endpoint: 'no URL' }), TypeError)
})

t.test('each failure of B2\'s is told, whatever was asked', async t => {
  const failures: string[] = []
  const { b2, store } = await setB2Stage(t, { onFailure: code => { failures.push(code) } })
  b2.fault({ status: 403, times: Infinity })
  t.match(await store.put({ key: KEY, contentType: 'audio/mpeg' }, bytes(1), sha256(bytes(1))), { ok: false })
  await t.rejects(store.head(KEY), { name: 'B2ReadError' })
  await t.rejects(store.remove(KEY), { name: 'B2ReadError' })
  t.same(failures, ['access_denied', 'access_denied', 'access_denied'])
  await store.forget(KEY)
  while (failures.length < 4) await turn()
  t.equal(failures[3], 'access_denied')
})

t.test('an outcome that stays unknown is looked up as often as there are tries', async t => {
  for (const maxAttempts of [1, 3]) {
    const { b2, store } = await setB2Stage(t, { maxAttempts })
    b2.fault({ operation: 'PutObject', action: 'reset', times: Infinity })
    t.match(await store.put({ key: KEY, contentType: 'audio/mpeg' }, bytes(1), sha256(bytes(1))), { ok: false, attempts: maxAttempts, mayBeStored: true })
    t.equal(b2.requests.length, 2 * maxAttempts)
  }
})

t.test('a key is forgotten until it is removed, or settled', async t => {
  const dir = t.testdir()
  const { b2, store } = await setB2Stage(t, { leftoversDir: dir })
  for (let count = 0; count < 2; count++) await putObject(store, KEY, bytes(1))
  b2.fault({ operation: 'ListObjectVersions', status: 503, times: 2 })
  t.equal(await store.forget(KEY, 'of-the-upload'), true)
  t.equal(store.isForgotten(KEY), true)
  t.equal((await readdir(dir)).length, 1)
  await store.settle(KEY, false, 'of-the-upload')
  t.equal(store.isForgotten(KEY), false)
  store.retryCleanup()
  await settled(b2, () => b2.versions().length === 1)
  await quiet(b2)
  t.equal(await store.mayComplete(KEY), false)
})

t.test('of an object that was stored twice the newest version can be kept alone', async t => {
  const dir = t.testdir()
  const { b2, store, log } = await setB2Stage(t, { leftoversDir: dir })
  for (const text of ['one', 'two']) await putObject(store, KEY, Buffer.from(text))
  b2.fault({ operation: 'ListObjectVersions', status: 503, times: 2 })
  const refused = b2.waitFor('response', ({ status }) => status === 503)
  store.removeDoubles(KEY, 'of-the-upload')
  await refused
  await settled(b2, () => b2.versions().length === 1)
  t.match(b2.objects(), [{ key: KEY, sha256: sha256(Buffer.from('two')) }])
  t.match(log.of('b2.cleanup_failed'), [{ kind: 'doubles', key: KEY, correlation_id: 'of-the-upload' }])
  t.equal(await store.remove(KEY), undefined)
  t.same(b2.versions(), [])
})

t.test('what is wanted, or busy, is not removed', async t => {
  for (const name of ['isWanted', 'isBusy'] as const) {
    const asked: string[] = []
    let holds = true
    const { b2, store } = await setB2Stage(t, { [name]: async (key: string) => asked.push(key) > 0 && holds })
    await putObject(store, KEY, bytes(1))
    await store.forget(KEY)
    while (asked.length === 0) await turn()
    t.equal(asked[0], KEY)
    await store.forget('tracks/other.mp3')
    t.equal(b2.versions().length, 1, name)
    holds = false
    store.retryCleanup()
    await settled(b2, () => b2.versions().length === 0)
  }
})

t.test('what is left on disk is known to the next one, and told in the end', async t => {
  const dir = join(t.testdir(), 'leftovers')
  const { b2, store, log } = await setB2Stage(t, { leftoversDir: dir })
  await b2.refuseConnections()
  await store.forget(KEY, 'of-the-upload')
  await store.close()
  t.match(log.of('b2.leftovers'), [{ leftovers: [{ kind: 'object', key: KEY, correlation_id: 'of-the-upload' }] }])
  const next = storeOn(t, b2, { leftoversDir: dir })
  t.equal(next.isForgotten(KEY), true)
})

t.test('unfinished uploads that are a week old are ended below the prefix, if there is one', async t => {
  const { b2, store } = await setB2Stage(t, { keyPrefix: 'tracks/' })
  const [young, old] = [`tracks/${uuidv7()}.mp3`, `tracks/${uuidv7()}.mp3`]
  const upload = (key: string, ageMs: number): string => `<Upload><Key>${key}</Key><UploadId>1</UploadId><Initiated>${new Date(Date.now() - ageMs).toISOString()}</Initiated></Upload>`
  const uploads = upload(young, 604_700_000) + upload(old, 604_900_000)
  b2.fault({ operation: 'ListMultipartUploads', status: 200, body: `<?xml version="1.0"?><ListMultipartUploadsResult>${uploads}</ListMultipartUploadsResult>` })
  storeOn(t, b2).retryCleanup()
  storeOn(t, b2, { keyPrefix: 'tracks/', unfinishedMaxAgeMs: 0 }).retryCleanup()
  const ended = b2.waitFor('response', ({ operation }) => operation === 'AbortMultipartUpload')
  store.retryCleanup()
  await ended
  await store.close()
  t.same(b2.requests.map(({ operation, key }) => [operation, key]), [
    ['ListMultipartUploads', undefined], ['ListParts', old], ['AbortMultipartUpload', old],
  ])
})

t.test('the end of the store closes its connections, those of readers and of writers', async t => {
  const destroyed = t.capture(S3Client.prototype, 'destroy', S3Client.prototype.destroy)
  const { b2, store } = await setB2Stage(t)
  await putObject(store, KEY, bytes(1))
  await store.head(KEY)
  await store.close()
  t.equal(destroyed().length, 2)
  while (b2.openConnections > 0) await turn()
  await t.rejects(store.head(KEY), { name: 'B2ReadError' })
})
