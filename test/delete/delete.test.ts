import { truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { DeleteObjectCommand } from '@aws-sdk/client-s3'
import t from 'tap'
import type { B2Emulator } from '../../emulator/index.ts'
import { putObject, storeOn } from '../support/b2/stage.ts'
import { clientOf } from '../support/b2/emulator-client.ts'
import { KIB, MIB, setPromotionStage } from '../support/promotion/promotion.ts'
import { connect, isError } from '../support/clients/raw-http.ts'
import { bytes, put, startService } from '../support/service/service.ts'
import { contentOf, isEmpty, isNotFound, nameOf, receiptOf, remove } from '../support/service/stored-files.ts'

const ID = '01890a5d-ac96-774b-bcce-b302099a8057'

const keysIn = (b2: B2Emulator): string[] => b2.versions().map(({ key }) => key)

t.test('a file in B2 is gone, with its receipt, and stays gone', async t => {
  const { b2, service } = await setPromotionStage(t)
  const { body: kept } = await put(service, bytes(KIB), 'kept.bin')
  for (const size of [0, KIB, 12 * MIB]) {
    const name = nameOf((await put(service, bytes(size), 'song.mp3')).body.location)
    t.ok(b2.versions().length > 1)
    const { status, body, headers } = await remove(service, name)
    t.equal(status, 204)
    t.equal(body, undefined)
    t.ok(headers.get('x-correlation-id'))
    t.same(keysIn(b2), [kept.location], 'and no other')
    await isNotFound(t, service, name)
    t.equal((await remove(service, name)).status, 204, 'the second time')
  }
  t.equal((await receiptOf(service, nameOf(kept.location))).status, 200)
})

t.test('a file in local storage is gone, with its receipt and the promotion that was due', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t)
  for (const size of [KIB, 6 * MIB]) {
    const { key } = await fallBack(size, 'song.mp3')
    t.match(await uploads.status(), { pending_promotions: 1 })
    t.equal((await remove(service, nameOf(key))).status, 204)
    t.match(await uploads.status(), { pending_promotions: 0 })
    await isNotFound(t, service, nameOf(key))
    await isEmpty(t, b2, service)
    t.match(await uploads.promote(), { promoted: 0, pending: 0 })
    t.equal((await remove(service, nameOf(key))).status, 204)
  }
  await isEmpty(t, b2, service)
})

t.test('so it is in local-only mode', async t => {
  const service = await startService(t)
  const name = nameOf((await put(service, bytes(KIB), 'song.mp3')).body.track.key)
  for (let count = 0; count < 2; count++) t.equal((await remove(service, name)).status, 204)
  await isNotFound(t, service, name)
  t.same(await service.localFiles(), [])
  isError(t, await remove(service, 'song.mp3'), 404, 'not_found')
})

t.test('a file that is in both stores is gone from both', async t => {
  const { b2, service, uploads } = await setPromotionStage(t)
  for (const size of [KIB, 6 * MIB]) {
    const down = b2.fault({ operation: ['PutObject', 'CompleteMultipartUpload'], key: key => !key.endsWith('.json'), action: 'lose-answer', times: Infinity })
    const blind = b2.fault({ operation: 'HeadObject', status: 403, times: Infinity })
    const { body } = await put(service, bytes(size))
    t.equal(body.storage, 'local')
    t.ok(b2.read(body.track.key))
    down.cancel()
    blind.cancel()
    t.equal((await remove(service, nameOf(body.track.key))).status, 204)
    await isNotFound(t, service, nameOf(body.track.key))
    await isEmpty(t, b2, service)
    t.match(await uploads.status(), { pending_promotions: 0 })
  }
})

t.test('a file that was set aside is gone, with the note that says why', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t)
  const { key } = await fallBack(KIB)
  await truncate(join(service.dir, key), 10)
  t.match(await uploads.promote(), { set_aside: 1 })
  t.equal((await service.localFiles()).length, 3)
  t.equal((await remove(service, nameOf(key))).status, 204)
  await isEmpty(t, b2, service)
  t.match(await uploads.status(), { pending_promotions: 0 })
})

t.test('a receipt that waits for B2 is gone with its file', async t => {
  const { b2, service, uploads } = await setPromotionStage(t)
  b2.fault({ operation: 'PutObject', key: /receipt/, status: 503 })
  const { body } = await put(service, bytes(6 * MIB))
  t.same(await service.localFiles(), [`${body.location}.receipt.json`])
  t.equal((await remove(service, nameOf(body.location))).status, 204)
  await isNotFound(t, service, nameOf(body.location))
  await isEmpty(t, b2, service)
  t.match(await uploads.promote(), { promoted: 0, failed: 0, set_aside: 0, pending: 0 })
})

t.test('all versions go, and hide markers, of the file and of its receipt; what only begins with the same name stays', async t => {
  const { b2, service } = await setPromotionStage(t)
  const [client, store] = [clientOf(b2), storeOn(t, b2)]
  t.teardown(() => client.destroy())
  for (const isHiddenLast of [true, false]) {
    const { location: key } = (await put(service, bytes(6 * MIB), 'song')).body
    const receipt = `${key}.receipt.json`
    const others = [`${key}.mp3`, `${key}.mp3.receipt.json`, `${key}x`]
    for (const other of others) await putObject(store, other, bytes(10))
    for (const own of [key, receipt, key, receipt]) {
      await putObject(store, own, bytes(10))
      await client.send(new DeleteObjectCommand({ Bucket: b2.bucket, Key: own }))
    }
    if (!isHiddenLast) await putObject(store, key, bytes(10))
    t.equal(keysIn(b2).filter(own => own === key || own === receipt).length, isHiddenLast ? 10 : 11)
    t.equal((await remove(service, nameOf(key))).status, 204)
    t.same(keysIn(b2).sort(), [...others].sort())
    await isNotFound(t, service, nameOf(key))
    b2.reset()
  }
})

t.test('a file that never was is gone already; a name that is none is not found, and nothing is removed', async t => {
  const { b2, service, fallBack } = await setPromotionStage(t)
  for (const name of [ID, `${ID}.mp3`]) t.equal((await remove(service, name)).status, 204)
  const store = storeOn(t, b2)
  const { body } = await put(service, bytes(6 * MIB), 'song.mp3')
  const { key } = await fallBack(KIB)
  await putObject(store, `tracks/cover-${ID}.jpg`, bytes(10))
  const [objects, files, requests] = [keysIn(b2), await service.localFiles(), b2.requests.length]
  const names = [body, { location: key }].flatMap(({ location }) => [
    `${nameOf(location)}.receipt.json`, `${nameOf(location)}.set-aside.json`, `.${nameOf(location)}.claim`, nameOf(location).toUpperCase(), `..%2ftracks%2f${nameOf(location)}`, `tracks%2f${nameOf(location)}`,
  ])
  for (const name of [...names, `cover-${ID}.jpg`, 'song.mp3', '*', '.leftovers', '%2e%2e']) {
    await t.test(name, async t => isError(t, await remove(service, name), 404, 'not_found'))
  }
  t.same(keysIn(b2), objects)
  t.same(await service.localFiles(), files)
  t.equal(b2.requests.length, requests)
})

t.test('what a client sends with a DELETE does no harm', async t => {
  const { b2, service } = await setPromotionStage(t)
  const inits: [string, RequestInit][] = [
    ['a type without a body', { headers: { 'content-type': 'application/json' } }],
    ['JSON', { headers: { 'content-type': 'application/json' }, body: '{"reason":"duplicate"}' }],
    ['JSON that is none', { headers: { 'content-type': 'application/json' }, body: '{' }],
    ['text', { body: 'please' }],
    ['a form', { body: new URLSearchParams({ a: 'b' }) }],
    ['bytes without a type', { body: bytes(MIB) }],
  ]
  for (const [what, init] of inits) {
    const name = nameOf((await put(service, bytes(KIB))).body.location)
    t.equal((await remove(service, name, init)).status, 204, what)
    t.equal(await contentOf(service, name), 404)
  }
  t.same(b2.versions(), [])
})

t.test('a connection goes on after a DELETE with a body', async t => {
  const { service } = await setPromotionStage(t)
  const name = nameOf((await put(service, bytes(KIB))).body.location)
  const client = await connect(t, service)
  const body = JSON.stringify({ text: 'x'.repeat(100_000) })
  for (let count = 0; count < 2; count++) {
    await client.send(`DELETE /uploads/${name} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
    t.equal((await client.answer())?.status, 204)
    await client.send(`GET /uploads/${name} HTTP/1.1\r\nHost: a\r\n\r\n`)
    isError(t, await client.answer(), 404, 'not_found')
  }
})
