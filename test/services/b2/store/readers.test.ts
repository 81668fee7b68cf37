import { getEventListeners, once } from 'node:events'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Fault } from '../../../../emulator/index.ts'
import { putObject, setB2Stage, storeOn } from '../../../support/b2/stage.ts'
import { bytes, sha256 } from '../../../support/service/service.ts'

const KEY = 'tracks/song.mp3'
const MIB = 1_048_576

t.test('a reader that pauses holds B2 up, costs no memory and is no stall', async t => {
  const { b2, store } = await setB2Stage(t, { stallTimeoutMs: 200 })
  const content = bytes(32 * MIB)
  await putObject(storeOn(t, b2), KEY, content) // by one that is patient: this machine may have other things to do
  const before = process.memoryUsage().arrayBuffers
  const stream = (await store.read(KEY, undefined))!
  await once(stream, 'readable')
  await sleep(1_000) // five times what a stall takes; that nothing happens is no event
  t.match(b2.requests.filter(({ operation }) => operation === 'GetObject'), [{ outcome: 'pending' }], 'B2 waits for the reader')
  t.ok(stream.readableLength <= 2 * 65_536)
  t.ok(process.memoryUsage().arrayBuffers - before < 4 * MIB)
  t.equal(sha256(await buffer(stream)), sha256(content))
  t.equal(b2.requests.filter(({ operation }) => operation === 'GetObject').length, 1)
})

t.test('a reader that leaves ends the request to B2', async t => {
  // Nothing but the reader ends it.
  const { b2, store } = await setB2Stage(t, { stallTimeoutMs: 3_600_000 })
  await putObject(store, KEY, bytes(MIB))
  const leave: Record<string, (stream: { destroy (): void }, controller: AbortController) => void> = {
    'by destroying the stream': stream => stream.destroy(),
    'by its signal': (_stream, controller) => controller.abort(),
  }
  for (const [name, act] of Object.entries(leave)) {
    b2.fault({ operation: 'GetObject', bytesPerSecond: 1_000 })
    const controller = new AbortController()
    const ended = b2.waitFor('response', ({ operation }) => operation === 'GetObject')
    const stream = (await store.read(KEY, undefined, controller.signal))!
    await once(stream, 'readable')
    const closed = once(stream, 'close')
    act(stream, controller)
    t.match(await ended, { outcome: 'client-gone' }, name)
    await closed
    t.equal(stream.errored, null, 'without an error of B2\'s')
    t.same(getEventListeners(controller.signal, 'abort'), [])
  }
  t.equal(b2.requests.length, 3, 'and nothing is asked again')
})

t.test('a reader that leaves before the answer hears its own reason', async t => {
  const { b2, store } = await setB2Stage(t, { stallTimeoutMs: 3_600_000 })
  for (const method of ['head', 'track', 'read'] as const) {
    b2.fault({ action: 'hang' })
    const controller = new AbortController()
    const hung = b2.waitFor('fault')
    const ended = b2.waitFor('response')
    const answer = (method === 'read' ? store.read(KEY, undefined, controller.signal) : store[method](KEY, controller.signal)).catch((error: unknown) => error)
    await hung
    const reason = new Error('no more interest')
    controller.abort(reason)
    t.equal(await answer, reason, method)
    await ended
    t.same(getEventListeners(controller.signal, 'abort'), [])
    t.equal(await store.head(KEY, controller.signal).catch((error: unknown) => error), reason, 'and nothing is sent for it')
  }
  t.equal(b2.requests.length, 3)
})

t.test('a reader that leaves while B2 is asked for the rest gets no more', async t => {
  const { b2, store } = await setB2Stage(t, { stallTimeoutMs: 3_600_000 })
  await putObject(store, KEY, bytes(MIB))
  b2.fault({ operation: 'GetObject', action: 'truncate-answer', atByte: 1_000 })
  b2.fault({ operation: 'GetObject', action: 'hang' })
  const hung = b2.waitFor('fault', ({ fault }) => fault?.action === 'hang')
  const stream = (await store.read(KEY, undefined))!
  stream.resume()
  const { id } = await hung
  const ended = b2.waitFor('response', record => record.id === id)
  stream.destroy()
  t.match(await ended, { outcome: 'hung' })
  t.equal(b2.openConnections, 1, 'that of the PUT')
})

t.test('nothing is left behind by those who read', async t => {
  const { b2, store } = await setB2Stage(t)
  await putObject(store, KEY, bytes(MIB))
  const { signal } = new AbortController()
  const timers = (): number => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const before = timers()
  for (const fault of [{ action: 'truncate-answer' }, { status: 404 }, { status: 403 }, { status: 503 }, { action: 'reset' }] satisfies Fault[]) {
    b2.fault({ operation: 'GetObject', ...fault })
    const stream = await store.read(KEY, undefined, signal).catch(() => undefined)
    if (stream !== undefined) await buffer(stream)
  }
  t.same(getEventListeners(signal, 'abort'), [])
  t.equal(timers(), before)
})

t.test('readers are told soon that B2 is down, and why', async t => {
  const { b2, store } = await setB2Stage(t, { maxAttempts: 3 })
  const read = async (): Promise<unknown> => await store.read(KEY, undefined)
  const head = async (): Promise<unknown> => await store.head(KEY)
  const remove = async (): Promise<unknown> => await store.remove(KEY)
  const { secretAccessKey } = b2.credentials
  const faults: [Fault, object, number][] = [
    [{ status: 503 }, { error_code: 'service_unavailable', weight: 'soft', retryable: true, status: 503 }, 3],
    [{ status: 429, headers: { 'Retry-After': '30' } }, { error_code: 'rate_limited', retryable: true }, 3],
    [{ action: 'reset' }, { error_code: 'network_error' }, 3],
    [{ status: 403, message: `not entitled: ${secretAccessKey}` }, { error_code: 'access_denied', weight: 'hard', retryable: false, status: 403 }, 1],
    [{ status: 403, message: 'Cap exceeded. See the Caps & Alerts page' }, { weight: 'hard', status: 403 }, 1],
  ]
  for (const [fault, expected, tries] of faults) {
    for (const act of [read, head]) {
      const before = b2.requests.length
      const handle = b2.fault({ ...fault, times: Infinity })
      const error = await act().catch((error: unknown) => error) as Error & { raw: string }
      t.match(error, { name: 'B2ReadError', detail: /^[^<>]+$/, ...expected }, `${act.name}: ${JSON.stringify(fault)}`)
      t.notOk(error.raw.includes(secretAccessKey.slice(0, 6)))
      t.equal(b2.requests.length - before, tries)
      handle.cancel()
    }
  }
  await b2.refuseConnections()
  for (const act of [read, head, remove]) {
    t.match(await act().catch((error: unknown) => error), { name: 'B2ReadError', error_code: 'network_error', detail: 'B2 could not be reached: connection refused' })
  }
})

t.test('a missing bucket is not taken for a missing object', async t => {
  const { store } = await setB2Stage(t, { bucket: 'no-such-bucket' })
  t.match(await store.read(KEY, undefined).catch((error: unknown) => error), { name: 'B2ReadError', error_code: 'bucket_not_found' })
  t.match(await store.remove(KEY).catch((error: unknown) => error), { name: 'B2ReadError', error_code: 'bucket_not_found' })
})

t.test('a stall of B2 is tried once more, on a new connection', async t => {
  const { b2, store } = await setB2Stage(t, { maxAttempts: 4, stallTimeoutMs: 200 })
  b2.fault({ action: 'hang', times: Infinity })
  t.match(await store.head(KEY).catch((error: unknown) => error), { name: 'B2ReadError', error_code: 'timeout' })
  t.equal(new Set(b2.requests.map(({ connection }) => connection)).size, 2)
  t.equal(b2.requests.length, 2)
})

t.test('the end of the store ends all reads', async t => {
  const { b2, store } = await setB2Stage(t)
  await putObject(store, KEY, bytes(32 * MIB))
  const stream = (await store.read(KEY, undefined))!
  b2.fault({ operation: 'HeadObject', action: 'hang' })
  const hung = b2.waitFor('fault')
  const head = store.head(KEY).catch((error: unknown) => error)
  await hung
  const failed = once(stream, 'error')
  await store.close()
  t.match(await failed, [{ name: 'B2ReadError', detail: 'The service is shutting down' }])
  t.match(await head, { name: 'B2ReadError' })
  t.match(await store.head(KEY).catch((error: unknown) => error), { name: 'B2ReadError' }, 'and no other begins')
})
