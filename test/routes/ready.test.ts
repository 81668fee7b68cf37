import { rm, writeFile } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { KIB, setPromotionStage } from '../support/promotion/promotion.ts'
import { connect, isError } from '../support/clients/raw-http.ts'
import { bytes, put, startService } from '../support/service/service.ts'
import type { TestService } from '../support/service/service.ts'
import { get, nameOf, remove } from '../support/service/stored-files.ts'

/** The answer of `GET /ready`, in the contract's shape. */
async function ready (t: Test, service: Pick<TestService, 'url'>, headers: Record<string, string> = {}): Promise<{ status: number, body: any }> {
  const { status, headers: answered, body } = await get(service, '/ready', headers)
  t.equal(answered.get('cache-control'), 'no-store')
  t.equal(status, body.status === 'unavailable' ? 503 : 200)
  return { status, body }
}

/** Nothing can be written below a file; root may write everywhere else. */
async function block ({ dir }: TestService): Promise<() => Promise<void>> {
  await rm(dir, { recursive: true })
  await writeFile(dir, '')
  return async () => { await rm(dir) }
}

const LAST_ERROR = { error_code: 'service_unavailable', detail: 'B2 is unavailable: HTTP status 503' }

t.test('a service whose stores are well is ready, and says all there is to say, without asking B2', async t => {
  const { b2, service } = await setPromotionStage(t)
  const { body } = await ready(t, service)
  t.same(body, {
    status: 'ok', b2: { state: 'closed', last_error: null }, local: { writable: true, free_bytes: body.local.free_bytes }, pending_promotions: 0,
  })
  t.ok(Number.isSafeInteger(body.local.free_bytes) && body.local.free_bytes > 0)
  for (const state of ['well', 'down']) {
    if (state === 'down') await b2.refuseConnections()
    for (let count = 0; count < 5; count++) t.equal((await ready(t, service)).body.status, 'ok', 'nobody has tried it')
  }
  t.same(b2.requests, [])
})

t.test('it is degraded while the circuit is open or half open, with the failure that opened it', async t => {
  const { b2, service, uploads } = await setPromotionStage(t, { BREAKER_THRESHOLD: '2', BREAKER_RESET_MS: '100' })
  const down = b2.fault({ status: 503, times: Infinity })
  await put(service, bytes(KIB))
  t.match((await ready(t, service)).body, { status: 'ok', b2: { state: 'closed', last_error: LAST_ERROR } }, 'one failure is none yet')
  await put(service, bytes(KIB))
  const requests = b2.requests.length
  t.match((await ready(t, service)).body, { status: 'degraded', b2: { state: 'open', last_error: LAST_ERROR }, local: { writable: true }, pending_promotions: 2 })
  t.equal(b2.requests.length, requests)

  down.cancel()
  await wait(100)
  const slow = b2.fault({ operation: 'PutObject', delayMs: 500 })
  const stored = b2.waitFor('applied')
  const probe = put(service, bytes(KIB))
  await stored
  t.match((await ready(t, service)).body, { status: 'degraded', b2: { state: 'half_open', last_error: LAST_ERROR } })
  t.match((await probe).body, { storage: 'b2' })
  slow.cancel()
  t.match((await ready(t, service)).body, { status: 'ok', b2: { state: 'closed', last_error: null }, pending_promotions: 2 })
  t.match(await uploads.promote(), { promoted: 2 })
  t.match((await ready(t, service)).body, { status: 'ok', pending_promotions: 0 })
})

t.test('it is degraded while files can\'t fall back, and unavailable when B2 fails, too', async t => {
  const { b2, service } = await setPromotionStage(t, { BREAKER_THRESHOLD: '1' })
  const unblock = await block(service)
  t.match((await ready(t, service)).body, { status: 'degraded', b2: { state: 'closed' }, local: { writable: false } })
  t.equal((await put(service, bytes(KIB))).status, 201)
  b2.fault({ status: 503, times: Infinity })
  isError(t, await put(service, bytes(KIB)), 503, 'storage_unavailable')
  const requests = b2.requests.length
  t.match(await ready(t, service), { status: 503, body: { status: 'unavailable', b2: { state: 'open', last_error: LAST_ERROR }, local: { writable: false } } })
  await unblock()
  t.match(await ready(t, service), { status: 200, body: { status: 'degraded', local: { writable: true } } })
  t.equal((await put(service, bytes(KIB))).status, 201)
  t.equal(b2.requests.length, requests)
})

t.test('where nothing can fall back, it is ready again as soon as an upload may try B2: else none would come to try it', async t => {
  const { b2, service } = await setPromotionStage(t, { BREAKER_THRESHOLD: '1', BREAKER_RESET_MS: '100' })
  await block(service)
  const down = b2.fault({ status: 503, times: Infinity })
  isError(t, await put(service, bytes(KIB)), 503, 'storage_unavailable')
  down.cancel()
  while ((await ready(t, service)).body.status === 'unavailable') await wait(10) // the time until the probe
  t.match((await ready(t, service)).body, { status: 'degraded', b2: { state: 'open' }, local: { writable: false } })
  t.match((await put(service, bytes(KIB))).body, { storage: 'b2' })
})

t.test('without room a directory takes no file', async t => {
  const { service } = await setPromotionStage(t, { LOCAL_MIN_FREE_BYTES: String(Number.MAX_SAFE_INTEGER) })
  const { body } = await ready(t, service)
  t.match(body, { status: 'degraded', local: { writable: false } })
  t.ok(body.local.free_bytes > 0)
})

t.test('in local-only mode all depends on the directory', async t => {
  const service = await startService(t)
  t.match((await ready(t, service)).body, { status: 'ok', b2: { state: 'disabled', last_error: null }, local: { writable: true }, pending_promotions: 0 })
  await put(service, bytes(KIB))
  t.match((await ready(t, service)).body, { status: 'ok', pending_promotions: 0 })
  const unblock = await block(service)
  t.match(await ready(t, service), { status: 503, body: { status: 'unavailable', b2: { state: 'disabled' }, local: { writable: false } } })
  await unblock()
  t.match((await ready(t, service)).body, { status: 'ok' })
})

t.test('a service that ends takes no uploads, and says so until the last one is stored', async t => {
  const { b2, service } = await setPromotionStage(t, { SHUTDOWN_GRACE_MS: '60000' })
  b2.fault({ operation: 'PutObject', delayMs: 500 })
  const stored = b2.waitFor('applied')
  const last = put(service, bytes(KIB))
  const client = await connect(t, service)
  await stored
  const closed = service.app.close()
  await client.send('GET /ready HTTP/1.1\r\nHost: a\r\n\r\n')
  const answer = await client.answer()
  t.match([answer?.status, answer?.body], [503, { status: 'unavailable', b2: { state: 'closed' }, local: { writable: true } }])
  t.equal((await last).status, 201)
  await closed
})

t.test('what waits for B2 is counted: fallbacks, promotions, files deleted, and those of an earlier run', async t => {
  const stage = await setPromotionStage(t)
  const { b2, service, uploads, fallBack } = stage
  const pending = async (): Promise<number> => (await ready(t, service)).body.pending_promotions
  const keys = []
  for (let count = 1; count <= 3; count++) {
    keys.push((await fallBack(KIB)).key)
    t.equal(await pending(), count)
  }
  await put(service, bytes(KIB))
  t.equal(await pending(), 3, 'what is in B2 does not wait')
  t.equal((await remove(service, nameOf(keys[0]!))).status, 204)
  t.equal(await pending(), 2)
  const [second, third] = keys.slice(1)
  const refused = b2.fault({ operation: 'PutObject', key: third!, status: 400, times: Infinity })
  t.match(await uploads.promote(), { promoted: 1, failed: 1 })
  t.equal(await pending(), 1, `but ${second}`)
  await service.app.close()

  const again = await setPromotionStage(t, { LOCAL_STORAGE_DIR: service.dir }, b2)
  t.match(await again.uploads.promote({ dryRun: true }), { pending: 1 })
  t.match((await ready(t, again.service)).body, { pending_promotions: 1 })
  refused.cancel()
  t.match(await again.uploads.promote(), { promoted: 1 })
  t.match((await ready(t, again.service)).body, { pending_promotions: 0 })
})

t.test('where the service asks for keys, strangers hear the status alone', async t => {
  const { b2, service } = await setPromotionStage(t, { API_KEYS: 'first-key,second-key', BREAKER_THRESHOLD: '1' })
  const strangers = [{}, { authorization: 'Bearer wrong' }, { authorization: 'Basic first-key' }, { authorization: 'Bearer' }, { authorization: 'Bearer first-key,second-key' }] as Record<string, string>[]
  for (const state of ['ok', 'degraded', 'unavailable']) {
    for (const headers of strangers) {
      const { body } = await ready(t, service, headers)
      t.same(body, { status: state })
    }
    for (const key of ['first-key', 'second-key']) {
      const { body } = await ready(t, service, { authorization: `Bearer ${key}` })
      t.same(Object.keys(body), ['status', 'b2', 'local', 'pending_promotions'])
      t.equal(body.status, state)
    }
    b2.fault({ status: 503, times: Infinity })
    if (state === 'ok') t.equal((await put(service, bytes(KIB), 'a', { authorization: 'Bearer first-key' })).body.storage, 'local')
    else await block(service).catch(() => {})
  }
})

t.test('/health and /ready need no key, the other routes do', async t => {
  const { b2, service } = await setPromotionStage(t, { API_KEYS: 'a-key' })
  const { body } = await put(service, bytes(KIB), 'a', { authorization: 'Bearer a-key' })
  const name = nameOf(body.location)
  const requests = b2.requests.length
  t.match(await get(service, '/health'), { status: 200, body: { status: 'ok' } })
  t.match(await get(service, '/ready'), { status: 200, body: { status: 'ok' } })
  for (const headers of [{}, { authorization: 'Bearer wrong' }] as Record<string, string>[]) {
    for (const path of [`/uploads/${name}`, `/uploads/${name}/content`, '/uploads/none', '/nowhere', '/ready/', '/READY', '/ready%2f..']) {
      isError(t, await get(service, path, headers), 401, 'unauthorized')
    }
    isError(t, await remove(service, name, { headers }), 401, 'unauthorized')
  }
  t.equal(b2.requests.length, requests, 'nor is B2 asked')
  t.match(await get(service, `/uploads/${name}`, { authorization: 'Bearer a-key' }), { status: 200, body })
})
