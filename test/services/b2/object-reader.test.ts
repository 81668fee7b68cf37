import { buffer } from 'node:stream/consumers'
import t from 'tap'
import { companionBody, companionKey, objectMetadata } from '../../../services/b2/object-receipt.ts'
import type { B2Store } from '../../../services/b2/store.ts'
import type { Track } from '../../../services/receipt.ts'
import { putObject, setB2Stage } from '../../support/b2/stage.ts'
import type { B2Stage } from '../../support/b2/stage.ts'
import { bytes, sha256 } from '../../support/service/service.ts'

const ID = '01890a5d-ac96-774b-bcce-b302099a8057'
const KEY = `tracks/${ID}.mp3`
const CONTENT = bytes(1_000)
const TRACK: Track = {
  id: ID,
  key: KEY,
  filename: 'Song.mp3',
  content_type: 'audio/mpeg',
  size_bytes: 1_000,
  sha256: sha256(CONTENT),
  uploaded_at: '2026-01-02T03:04:05.678Z',
  metadata: {},
  audio: null,
}

async function put (store: B2Store, key: string, content: Uint8Array, metadata?: Record<string, string>): Promise<void> {
  await store.put({ key, contentType: 'audio/mpeg', ...(metadata === undefined ? {} : { metadata }) }, content, sha256(content))
}

/** What was asked since then, as `operation key range`. */
function asked ({ b2 }: Pick<B2Stage, 'b2'>, since = 0): string[] {
  return b2.requests.slice(since).map(({ operation, key, headers }) => [operation, key, headers.range].filter(word => word !== undefined).join(' '))
}

t.test('head tells what the object says of itself', async t => {
  const { b2, store } = await setB2Stage(t)
  await putObject(store, KEY, CONTENT)
  t.same(await store.head(KEY), { size: 1_000, sha256: sha256(CONTENT) })
  await put(store, 'bare', Buffer.alloc(0))
  t.same(await store.head('bare'), { size: 0, sha256: undefined })
  t.equal(await store.head('other'), undefined)
  b2.fault({ operation: 'HeadObject', status: 200, body: '' })
  t.same(await store.head(KEY), { size: 0, sha256: undefined }, 'an answer that says nothing')
  b2.fault({ operation: 'HeadObject', status: 403 })
  await t.rejects(store.head(KEY), { name: 'B2ReadError', error_code: 'access_denied' })
})

t.test('a receipt comes out of the metadata with one request', async t => {
  const stage = await setB2Stage(t)
  await put(stage.store, KEY, CONTENT, objectMetadata(TRACK))
  t.same(await stage.store.track(KEY), TRACK)
  t.same(asked(stage, 1), [`HeadObject ${KEY}`])
})

t.test('a receipt comes out of the companion where the metadata has none', async t => {
  const stage = await setB2Stage(t)
  await putObject(stage.store, KEY, CONTENT)
  t.equal(await stage.store.track(KEY), undefined, 'one that was never acknowledged')
  await put(stage.store, companionKey(KEY), companionBody(TRACK))
  t.same(await stage.store.track(KEY), TRACK)
  t.same(asked(stage, 4), [`HeadObject ${KEY}`, `GetObject ${companionKey(KEY)} bytes=0-4194303`], 'and no more of it than a receipt can have')
  await put(stage.store, companionKey(KEY), companionBody({ ...TRACK, size_bytes: 999 }))
  t.same(await stage.store.track(KEY), TRACK, 'an older one, if the newest is of another file')
  await stage.store.remove(KEY)
  await putObject(stage.store, KEY, CONTENT)
  await put(stage.store, companionKey(KEY), companionBody({ ...TRACK, size_bytes: 999 }))
  t.equal(await stage.store.track(KEY), undefined, 'one of another file alone')
  stage.b2.fault({ operation: 'GetObject', status: 403 })
  await t.rejects(stage.store.track(KEY), { name: 'B2ReadError', error_code: 'access_denied' }, 'one that B2 does not show is not missing')
})

t.test('an object that is missing is told from a bucket that is', async t => {
  const stage = await setB2Stage(t)
  t.equal(await stage.store.track(KEY), undefined)
  t.same(asked(stage), [`HeadObject ${KEY}`, `GetObject ${KEY} bytes=0-0`])
  const nowhere = await setB2Stage(t, { bucket: 'no-such-bucket' })
  await t.rejects(nowhere.store.track(KEY), { name: 'B2ReadError', error_code: 'bucket_not_found' })
  await t.rejects(nowhere.store.read(KEY), { name: 'B2ReadError', error_code: 'bucket_not_found' })
})

t.test('one that comes between two looks leaves no request open', async t => {
  const { b2, store } = await setB2Stage(t)
  await putObject(store, KEY, CONTENT)
  b2.fault({ operation: 'HeadObject', status: 404 })
  // It would go on for a quarter of an hour.
  b2.fault({ operation: 'GetObject', bytesPerSecond: 1 })
  const ended = b2.waitFor('response', ({ operation }) => operation === 'GetObject')
  t.equal(await store.track(KEY), undefined)
  await ended
})

t.test('read asks for all, or for a range, and for nothing that is not there', async t => {
  const stage = await setB2Stage(t)
  await putObject(stage.store, KEY, CONTENT)
  const read = async (...args: [{ first: number, last: number }?]): Promise<Buffer> => await buffer((await stage.store.read(KEY, ...args))!)
  t.ok((await read()).equals(CONTENT))
  t.ok((await read({ first: 0, last: 9 })).equals(CONTENT.subarray(0, 10)))
  t.ok((await read({ first: 990, last: 5_000 })).equals(CONTENT.subarray(990)), 'a range ends with the object')
  t.equal(await stage.store.read('other'), undefined)
  t.same(asked(stage, 1), [`GetObject ${KEY}`, `GetObject ${KEY} bytes=0-9`, `GetObject ${KEY} bytes=990-5000`, 'GetObject other'])
})

t.test('a body that breaks off goes on where it was, with the same object, on a new connection', async t => {
  const stage = await setB2Stage(t)
  const { b2, store } = stage
  const content = bytes(300_000)
  await putObject(store, KEY, content)
  for (const [range, first, from] of [[undefined, 0, undefined], [{ first: 1_000, last: 299_999 }, 1_000, 'bytes=1000-299999']] as const) {
    b2.fault({ operation: 'GetObject', action: 'truncate-answer', atByte: 10_000 })
    const before = b2.requests.length
    t.ok((await buffer((await store.read(KEY, range))!)).equals(content.subarray(first)))
    const gets = b2.requests.slice(before)
    t.equal(gets.length, 2)
    t.equal(gets[0]!.headers.range, from)
    // What nobody had read when the connection ended is asked for again.
    const next = Number(/^bytes=(\d+)-299999$/.exec(gets[1]!.headers.range!)?.[1])
    t.ok(next >= first && next <= first + 10_000, `${next}`)
    t.same(gets.map(({ headers }) => headers['if-match']), [undefined, `"${b2.objects()[0]!.etag}"`])
    t.ok(b2.requests.every(({ id, connection }) => id >= gets[1]!.id || connection !== gets[1]!.connection))
  }
  b2.fault({ operation: 'GetObject', action: 'no-etag' })
  b2.fault({ operation: 'GetObject', action: 'truncate-answer', atByte: 10_000 })
  t.ok((await buffer((await store.read(KEY))!)).equals(content), 'also where the object has no ETag')
})

t.test('an answer with other bytes than were asked for is none, and its connection is ended', async t => {
  const { b2, store } = await setB2Stage(t, { maxAttempts: 1 })
  await putObject(store, KEY, CONTENT)
  for (const headers of [{}, { 'content-range': 'bytes 30-39/1000' }, { 'content-range': 'bytes 4-5/1000' }, { 'content-range': '0 bytes 3-5/1000' }]) {
    b2.fault({ operation: 'GetObject', status: 206, body: 'all', headers })
    const ended = b2.waitFor('response')
    const error = await store.read(KEY, { first: 3, last: 5 }).catch((error: unknown) => error)
    t.match(error, { name: 'B2ReadError', error_code: 'service_unavailable', retryable: true, raw: 'IncompleteAnswer B2 answered with other bytes than were asked for.' }, JSON.stringify(headers))
    await ended
  }
  b2.fault({ operation: 'GetObject', status: 206, body: 'all', headers: { 'content-range': 'bytes 3-5/1000' } })
  t.equal(String(await buffer((await store.read(KEY, { first: 3, last: 5 }))!)), 'all')
  const ended = b2.waitFor('response')
  t.match(await store.read(KEY, undefined, undefined, 999).catch((error: unknown) => error), { raw: /IncompleteAnswer/ }, 'nor is a file of another size')
  await ended
})
