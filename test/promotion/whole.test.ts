import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t from 'tap'
import type { PromotionProgress } from '../../services/promotion/promoter.ts'
import { putObject, storeOn } from '../support/b2/stage.ts'
import { filesIn, isPromoted, KIB, MIB, PART, setPromotionStage } from '../support/promotion/promotion.ts'

/** Too large for an object's own metadata. */
const LARGE_METADATA = Object.fromEntries(Array.from({ length: 6 }, (_, index) => [`field ${index}`, 'ä'.repeat(200)]))

t.test('files go to B2 under their keys, with their receipts, oldest first, and local storage is empty then', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t, { PROMOTE_CONCURRENCY: '1' })
  const sizes = [100 * KIB, 0, PART, PART + 1, 12 * MIB]
  const stored = []
  for (const size of sizes) stored.push(await fallBack(size, 'Lied ☂.mp3'))
  t.match(await uploads.status(), { pending_promotions: sizes.length })
  let mostHeld = 0
  b2.on('request', () => { mostHeld = Math.max(mostHeld, uploads.heldBytes) })

  const total = sizes.reduce((sum, size) => sum + size)
  t.same(await uploads.promote(), { promoted: 5, failed: 0, set_aside: 0, skipped: 0, elsewhere: 0, pending: 0, bytes: total })
  await isPromoted(t, b2, service, stored)
  t.same(filesIn(b2).map(({ key }) => key), stored.map(({ key }) => key))
  for (const object of b2.objects()) {
    t.equal(object.metadata['sha256'], object.sha256)
    t.match(JSON.parse(decodeURIComponent(object.metadata['receipt']!)), { filename: 'Lied ☂.mp3' })
  }
  t.match(service.log.of('promotion.done'), stored.map(({ key, content }) => ({ level: 30, key, duration_ms: Number, size_bytes: content.byteLength })))
  t.match(await uploads.status(), { pending_promotions: 0 })
  t.ok(mostHeld <= PART && mostHeld > 0, 'one part in memory')
  t.equal(uploads.heldBytes, 0)
})

t.test('a receipt that is too large for the metadata goes beside the file', async t => {
  const { b2, service, uploads } = await setPromotionStage(t)
  const down = b2.fault({ status: 503, times: Infinity })
  const stored = []
  for (const size of [KIB, 6 * MIB]) {
    const content = Buffer.alloc(size, 'x')
    stored.push({ key: (await uploads.store(Readable.from([content]), { metadata: LARGE_METADATA })).track.key, content })
  }
  down.cancel()
  t.match(await uploads.promote(), { promoted: 2 })
  await isPromoted(t, b2, service, stored)
  for (const { key } of stored) t.match(JSON.parse(b2.read(`${key}.receipt.json`)!.toString()), { key, metadata: LARGE_METADATA })
})

t.test('passes don\'t overlap, and report what they do', async t => {
  const { b2, uploads, fallBack } = await setPromotionStage(t, { PROMOTE_CONCURRENCY: '1' })
  const small = await fallBack(KIB)
  const large = await fallBack(12 * MIB)
  const told: PromotionProgress[] = []
  const [first, second] = await Promise.all([uploads.promote({ onProgress: progress => told.push(progress) }), uploads.promote()])
  t.match([first, second], [{ promoted: 2 }, { promoted: 0, pending: 0 }])
  const of = (key: string, size: number) => ({ total: 2, key, size_bytes: size })
  t.same(told, [
    { ...of(small.key, KIB), done: 0, bytes: 0 },
    { ...of(small.key, KIB), done: 1, bytes: KIB, outcome: 'promoted' },
    ...[0, PART, 2 * PART].map(bytes => ({ ...of(large.key, 12 * MIB), done: 1, bytes })),
    { ...of(large.key, 12 * MIB), done: 2, bytes: 12 * MIB, outcome: 'promoted' },
  ])
  t.equal(b2.requests.filter(({ operation, status }) => operation === 'PutObject' && status === 200).length, 1)
})

t.test('a dry run tells, and does nothing', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t)
  const { key } = await fallBack(KIB)
  const before = await service.localFiles()
  const requests = b2.requests.length
  const told: PromotionProgress[] = []
  t.same(await uploads.promote({ dryRun: true, onProgress: progress => told.push(progress) }),
    { promoted: 0, failed: 0, set_aside: 0, skipped: 0, elsewhere: 0, pending: 1, bytes: KIB })
  t.same(told, [{ total: 1, done: 1, key, bytes: 0, size_bytes: KIB, outcome: 'pending' }])
  t.equal(b2.requests.length, requests)
  t.same(await service.localFiles(), before)
})

t.test('what is in B2 already is not sent again', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t, { PROMOTE_CONCURRENCY: '1' })
  const stored = [await fallBack(KIB), await fallBack(12 * MIB)]
  // A pass ends with a file that B2 failed, which goes to the end of the next one.
  for (let count = 0; count < 2; count++) {
    b2.fault({ operation: 'HeadObject', after: 1, status: 403 })
    t.match(await uploads.promote(), { promoted: 0, failed: 1, pending: 2 })
  }
  const stores = (): number => b2.requests.filter(({ operation }) => operation === 'PutObject' || operation === 'CompleteMultipartUpload').length
  const before = stores()
  t.equal(filesIn(b2).length, 2)
  t.equal((await service.localFiles()).length, 4, 'both are still here, with their receipts')
  t.match(await uploads.promote(), { promoted: 2, pending: 0 })
  t.equal(stores(), before)
  await isPromoted(t, b2, service, stored)
})

t.test('what is in B2 already, but for its receipt, gets that', async t => {
  const { b2, service, uploads } = await setPromotionStage(t)
  const down = b2.fault({ status: 503, times: Infinity })
  const content = Buffer.alloc(6 * MIB, 'x')
  const { track } = await uploads.store(Readable.from([content]), { metadata: LARGE_METADATA })
  down.cancel()
  b2.fault({ operation: 'HeadObject', after: 1, status: 403 })
  t.match(await uploads.promote(), { promoted: 0, failed: 1 })
  await storeOn(t, b2).remove(`${track.key}.receipt.json`)
  t.equal(b2.read(`${track.key}.receipt.json`), undefined)
  t.match(await uploads.promote(), { promoted: 1 })
  t.same(JSON.parse(b2.read(`${track.key}.receipt.json`)!.toString()), track)
  t.equal(b2.requests.filter(({ operation }) => operation === 'CompleteMultipartUpload').length, 1, 'it is not sent again')
  await isPromoted(t, b2, service, [{ key: track.key, content }])
})

t.test('an object of that name that is not this file is replaced, and no version of it stays', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t)
  const stored = await fallBack(KIB)
  await putObject(storeOn(t, b2), stored.key, Buffer.alloc(KIB, 'x'))
  t.match(await uploads.promote(), { promoted: 1 })
  while (b2.versions().length > 1) await b2.waitFor('applied')
  await isPromoted(t, b2, service, [stored])
})

t.test('foreign files are left alone', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t)
  const { key } = await fallBack(KIB)
  const foreign = ['notes.txt', `tracks/${key.slice(7, 43)}.wav`, 'other/song.mp3', '.hidden/x.json', 'tracks/x.receipt.json']
  for (const name of foreign) {
    await mkdir(join(service.dir, name, '..'), { recursive: true })
    await writeFile(join(service.dir, name), name)
  }
  t.match(await uploads.promote(), { promoted: 1, pending: 0 })
  t.same(await service.localFiles(), [...foreign].sort())
  for (const name of foreign) t.equal(await readFile(join(service.dir, name), 'utf8'), name)
  t.equal(b2.objects().length, 1)
})

t.test('a receipt that B2 did not take goes there later', async t => {
  const { b2, service, uploads } = await setPromotionStage(t)
  const content = Buffer.alloc(6 * MIB, 'x')
  const down = b2.fault({ operation: 'PutObject', key: /receipt/, status: 503, times: Infinity })
  const { storage, track } = await uploads.store(Readable.from([content]))
  t.equal(storage, 'b2')
  t.match(await uploads.promote(), { promoted: 0, failed: 1, pending: 1 })
  down.cancel()
  t.match(await uploads.promote(), { promoted: 1, pending: 0 })
  t.same(JSON.parse(b2.read(`${track.key}.receipt.json`)!.toString()), track)
  await isPromoted(t, b2, service, [{ key: track.key, content }])
})

t.test('a receipt whose object B2 does not show for a moment is only late', async t => {
  const { b2, service, uploads } = await setPromotionStage(t)
  const down = b2.fault({ operation: 'PutObject', key: /receipt/, status: 503, times: Infinity })
  const content = Buffer.alloc(6 * MIB, 'x')
  const { track: { key } } = await uploads.store(Readable.from([content]))
  down.cancel()
  b2.fault({ operation: 'HeadObject', status: 404, times: 2 })
  t.match(await uploads.promote(), { set_aside: 0, failed: 1, pending: 1 })
  let passes = 0
  while ((await uploads.promote()).pending > 0) t.ok(++passes < 5)
  await isPromoted(t, b2, service, [{ key, content }])
})
