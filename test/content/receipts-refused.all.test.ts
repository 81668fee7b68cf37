import t from 'tap'
import type { Test } from 'tap'
import type { Fault } from '../../emulator/index.ts'
import { putObject, storeOn } from '../support/b2/stage.ts'
import { KIB, MIB, setPromotionStage } from '../support/promotion/promotion.ts'
import type { PromotionStage } from '../support/promotion/promotion.ts'
import { connect, isError } from '../support/clients/raw-http.ts'
import { b2Env, bytes, post, put, startB2, startService } from '../support/service/service.ts'
import { contentOf, get, nameOf, receiptOf } from '../support/service/stored-files.ts'

const ID = '01890a5d-ac96-774b-bcce-b302099a8057'

const NO_NAMES = [
  `${ID}.receipt.json`, `${ID}.mp3.receipt.json`, `${ID}.set-aside.json`, `.${ID}.claim`, `.${ID}.part`, `${ID}.mp3.claim.x`,
  ID.toUpperCase(), `${ID}.MP3`, `${ID}.`, `${ID}.123456789`, `${ID}.mp3.mp3`, `${ID}.m%20p`, `${ID}%00`, `${ID}%0A`, `${ID}.mp3%0a`, `%20${ID}`,
  '01890a5d-ac96-474b-bcce-b302099a8057', '01890a5d-ac96-774b-1cce-b302099a8057', ID.replaceAll('-', ''), `{${ID}}`, `x${ID}`, `a-${ID}.mp3`,
  '%2e%2e%2fetc%2fpasswd', `..%2F${ID}`, `..%5c${ID}`, `tracks%2F${ID}`, `%2e%2f${ID}`, `.leftovers%2f${ID}.json`, '.leftovers', '*', '%E2%98%82', 'x'.repeat(90),
]

t.test('a name that is none is not found, and B2 is not asked', async t => {
  const { b2, service } = await setPromotionStage(t)
  // So that a name that is cut or decoded once too often would find it.
  await putObject(storeOn(t, b2), `tracks/${ID}`, bytes(10))
  const before = b2.requests.length
  for (const name of NO_NAMES) {
    for (const path of [`/uploads/${name}`, `/uploads/${name}/content`]) await t.test(path, async t => isError(t, await get(service, path), 404, 'not_found'))
  }
  for (const path of ['/uploads', '/uploads/', `/uploads/x/${ID}`, `/uploads/${ID}/`, `/uploads/${ID}/receipt`, '/uploads/.']) {
    await t.test(path, async t => isError(t, await get(service, path), 404, 'not_found'))
  }
  t.same(b2.requests.slice(before).map(({ key }) => key), [])
})

t.test('paths that a client would tidy up lead nowhere', async t => {
  const { b2, service } = await setPromotionStage(t)
  const client = await connect(t, service)
  for (const path of [`/uploads/../uploads/../${ID}`, '/uploads/..', '/uploads/../../etc/passwd', `/uploads/./${ID}`, `/uploads//${ID}`]) {
    await client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
    isError(t, await client.answer(), 404, 'not_found')
  }
  await client.send('GET /uploads/%zz HTTP/1.1\r\nHost: a\r\n\r\n')
  isError(t, await client.answer(), 400, 'invalid_request')
  isError(t, await receiptOf(service, 'x'.repeat(2_000)), 414, 'invalid_request')
  t.equal(b2.requests.length, 0)
})

t.test('a file that was never uploaded is not found, in B2 and in local-only mode', async t => {
  const { b2, service } = await setPromotionStage(t)
  isError(t, await receiptOf(service, ID), 404, 'not_found')
  isError(t, await receiptOf(service, `${ID}.mp3`), 404, 'not_found')
  t.same(b2.requests.map(({ operation, key }) => [operation, key]), [ID, `${ID}.mp3`].flatMap(name => [['HeadObject', `tracks/${name}`], ['GetObject', `tracks/${name}`]]))
  isError(t, await receiptOf(await startService(t), ID), 404, 'not_found')
})

t.test('an object that nobody uploaded here is not found', async t => {
  const { b2, service } = await setPromotionStage(t)
  const other = storeOn(t, b2)
  await putObject(other, `tracks/${ID}`, bytes(10))
  isError(t, await receiptOf(service, ID), 404, 'not_found')
  t.equal(await contentOf(service, ID), 404)

  const { body } = await post(service, bytes(6 * MIB), 'a.mp3')
  const companion = b2.read(`${body.location}.receipt.json`)!
  await putObject(other, `tracks/${ID}.receipt.json`, companion)
  isError(t, await receiptOf(service, ID), 404, 'not_found')
  await other.remove(body.location)
  await putObject(other, `${body.location}.receipt.json`, companion)
  isError(t, await receiptOf(service, nameOf(body.location)), 404, 'not_found')
})

const OUTAGES: Record<string, Fault> = {
  '503s': { status: 503 },
  '500s': { status: 500 },
  resets: { action: 'reset', at: 'before-body' },
  'no answers': { action: 'hang' },
  'answers that are no HTTP': { action: 'garbage' },
  'too many requests': { status: 429 },
  'a wrong key': { status: 403, code: 'InvalidAccessKeyId' },
  'a key that may not read': { status: 403 },
}

async function isOut (t: Test, { service }: PromotionStage, names: readonly string[]): Promise<void> {
  for (const name of [...names, ID]) {
    for (const path of [`/uploads/${name}`, `/uploads/${name}/content`]) {
      const answer = await get(service, path)
      isError(t, answer, 503, 'storage_unavailable')
      t.match(answer.headers.get('retry-after'), /^[1-9]\d*$/)
    }
  }
}

t.test('while B2 is out of reach no file is not found, what is here is told, and the circuit learns nothing', async t => {
  const b2 = await startB2(t)
  // The first failure of a write would open it.
  const calm = await setPromotionStage(t, { BREAKER_THRESHOLD: '1' }, b2)
  const hasty = await setPromotionStage(t, { BREAKER_THRESHOLD: '1', B2_STALL_TIMEOUT_MS: '200' }, b2)
  // What falls back opens the circuit, so another service has to do it.
  const [besideCalm, besideHasty] = [await setPromotionStage(t, { LOCAL_STORAGE_DIR: calm.service.dir }, b2), await setPromotionStage(t, { LOCAL_STORAGE_DIR: hasty.service.dir }, b2)]
  const inB2 = [await put(calm.service, bytes(KIB)), await put(calm.service, bytes(6 * MIB))].map(({ body }) => nameOf(body.location))
  for (const [name, fault] of Object.entries(OUTAGES)) {
    await t.test(name, async t => {
      const [stage, here] = fault.action === 'hang' ? [hasty, besideHasty] : [calm, besideCalm]
      const { key } = await here.fallBack(KIB)
      const down = b2.fault({ ...fault, times: Infinity })
      await isOut(t, stage, inB2)
      t.match(await receiptOf(stage.service, nameOf(key)), { status: 200, body: { storage: 'local', track: { key } } })
      down.cancel()
      t.match(await stage.uploads.status(), { b2: { state: 'closed', last_error: null } })
      for (const name of inB2) t.match(await receiptOf(stage.service, name), { status: 200, body: { storage: 'b2' } })
      await here.uploads.promote()
    })
  }
  await t.test('refused connections', async t => {
    await b2.refuseConnections()
    await isOut(t, calm, inB2)
    await b2.acceptConnections()
    for (const name of inB2) t.equal((await receiptOf(calm.service, name)).status, 200)
    t.match(await calm.uploads.status(), { b2: { state: 'closed', last_error: null } })
  })
  const told = calm.service.log.of('read.failed')
  t.ok(told.length > 0)
  for (const line of told) t.match(line, { level: 40, correlation_id: String, error_code: String, b2_says: String, detail: String, hints: Array })
  t.same([...calm.service.log.lines, ...hasty.service.log.lines].filter(({ event }) => event?.startsWith('breaker.')), [])
})

t.test('a companion that can\'t be read is an outage, too', async t => {
  const { b2, service } = await setPromotionStage(t)
  const { body } = await put(service, bytes(6 * MIB))
  for (const fault of [{ status: 503 }, { status: 403 }, { action: 'reset' }, { action: 'truncate-answer' }] as const) {
    const down = b2.fault({ operation: 'GetObject', key: /receipt/, ...fault, times: Infinity })
    isError(t, await receiptOf(service, nameOf(body.location)), 503, 'storage_unavailable')
    down.cancel()
  }
  t.same((await receiptOf(service, nameOf(body.location))).body, body)
})

t.test('a bucket that is gone is an outage, not a file that is none', async t => {
  const { b2, service } = await setPromotionStage(t)
  const { body } = await put(service, bytes(KIB))
  const elsewhere = await startService(t, { ...b2Env(b2), B2_BUCKET: 'no-such-bucket' })
  isError(t, await receiptOf(elsewhere, nameOf(body.location)), 503, 'storage_unavailable')
})
