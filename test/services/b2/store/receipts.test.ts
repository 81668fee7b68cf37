import t from 'tap'
import { companionKey, needsCompanion, objectMetadata, trackFromCompanion, trackFromMetadata } from '../../../../services/b2/object-receipt.ts'
import type { Track } from '../../../../services/receipt.ts'
import { putObject, setB2Stage, storeOn } from '../../../support/b2/stage.ts'
import { b2Env, bytes, post, sha256, startB2, startService } from '../../../support/service/service.ts'

const MIB = 1_048_576
const ID = '01890a5d-ac96-774b-bcce-b302099a8057'
const KEY = `tracks/${ID}.mp3`

function trackOf (content: Uint8Array, changes: Partial<Track> = {}): Track {
  return {
    id: ID,
    key: KEY,
    filename: 'Song.mp3',
    content_type: 'audio/mpeg',
    size_bytes: content.byteLength,
    sha256: sha256(content),
    uploaded_at: '2026-01-02T03:04:05.678Z',
    metadata: {},
    audio: null,
    ...changes,
  }
}

const NOT_ASCII = {
  title: 'Ünïcödé 曲 🎵',
  signs: '100% "quoted" \\ , ; = + / ? & #',
  lines: 'a\r\nb\tc  d',
  'e m p t y': '',
  __proto__x: 'constructor',
}

t.test('a whole receipt goes through metadata as it was', async t => {
  for (const metadata of [{}, NOT_ASCII]) {
    const track = trackOf(bytes(10), { metadata, filename: '夢 & 100 %.mp3' })
    const headers = objectMetadata(track)
    t.notOk(needsCompanion(headers))
    for (const value of Object.values(headers)) t.match(value, /^[!-~]*$/, 'printable US-ASCII without spaces')
    t.equal(JSON.stringify(trackFromMetadata(KEY, 10, headers)), JSON.stringify(track), 'to the order of its members')
  }
  t.match(objectMetadata({ filename: 'a b.mp3' }), { filename: 'a%20b.mp3' }, 'what is known at the start of a large upload')
})

t.test('metadata stays below what B2 takes on encrypted buckets', async t => {
  const bytesOf = (metadata: Record<string, string>): number =>
    Object.entries(metadata).reduce((sum, [name, value]) => sum + 'x-amz-meta-'.length + name.length + value.length, 0)
  const withField = (length: number) => objectMetadata(trackOf(bytes(10), { metadata: { field: 'x'.repeat(length) } }))
  const room = 2_048 - bytesOf(withField(0))
  t.equal(bytesOf(withField(room)), 2_048)
  t.ok(needsCompanion(withField(room + 1)))
  t.same(Object.keys(withField(room + 1)), ['filename', 'sha256'])
  t.same(Object.keys(objectMetadata(trackOf(bytes(10), { filename: '曲'.repeat(230) }))), ['sha256'], 'nor does a long name fit')
})

t.test('what is no receipt of the object is none', async t => {
  const headers = objectMetadata(trackOf(bytes(10)))
  for (const changes of [{ receipt: '%' }, { receipt: 'null' }, { receipt: '[]' }, { receipt: '{}' }, { sha256: 'x' }]) {
    t.equal(trackFromMetadata(KEY, 10, { ...headers, ...changes }), undefined, JSON.stringify(changes))
  }
  t.equal(trackFromMetadata(KEY, 10, undefined), undefined)
  const track = trackOf(bytes(10))
  const body = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value))
  t.same(trackFromCompanion({ key: KEY, size: 10, etag: undefined }, body(track)), track)
  for (const wrong of [null, 'text', {}, { ...track, key: 'tracks/other' }, { ...track, size_bytes: 11 }, { ...track, audio: 'text' }]) {
    t.equal(trackFromCompanion({ key: KEY, size: 10, etag: undefined }, body(wrong)), undefined, JSON.stringify(wrong))
  }
  t.equal(trackFromCompanion({ key: KEY, size: 10, etag: undefined }, Buffer.from('{')), undefined)
})

t.test('track finds the receipt in the metadata or beside the object, and none where there is none', async t => {
  const { b2, store } = await setB2Stage(t)
  const content = bytes(10)
  const track = trackOf(content)
  t.equal(await store.track(KEY), undefined, 'no object')
  t.match(await store.putReceipt(track), { ok: true })
  t.equal(await store.track(KEY), undefined, 'a receipt without its object')
  t.match(b2.objects(), [{ key: companionKey(KEY), contentType: 'application/json' }])
  await putObject(store, KEY, content)
  t.same(await store.track(KEY), track, 'beside it')
  await store.remove(KEY)

  await store.put({ key: KEY, contentType: track.content_type, metadata: objectMetadata(track) }, content, track.sha256)
  t.same(await store.track(KEY), track, 'in it')
  await store.remove(KEY)
  await putObject(store, KEY, content)
  t.equal(await store.track(KEY), undefined, 'neither')
  t.equal(await store.track(companionKey(KEY)), undefined)
})

t.test('a receipt that B2 does not take is told', async t => {
  const { b2, store, log } = await setB2Stage(t)
  b2.fault({ operation: 'PutObject', status: 503, times: Infinity })
  t.match(await store.putReceipt(trackOf(bytes(10))), { ok: false, error_code: 'service_unavailable', attempts: 2 })
  t.match(log.of('b2.receipt_failed'), [{ key: KEY, error_code: 'service_unavailable', attempts: 2, detail: String, b2_says: String }])
})

t.test('every upload leaves its whole receipt in B2', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000' })
  const store = storeOn(t, b2)
  const long = Object.fromEntries(['a', 'b', 'c'].map(name => [name, name.repeat(1_000)]))
  for (const [size, fields, objects] of [[0, {}, 1], [100_000, NOT_ASCII, 1], [100_000, long, 2], [12 * MIB, NOT_ASCII, 2], [12 * MIB, long, 2]] as const) {
    const { status, body } = await post(service, bytes(size), '夢.mp3', { after: fields })
    t.match({ status, ...body }, { status: 201, storage: 'b2', track: { metadata: fields } })
    t.same(await store.track(body.location), body.track, `${size} bytes`)
    t.equal(b2.versions().length, objects)
    t.same(await service.localFiles(), [])
    await store.remove(body.location)
    t.same(b2.versions(), [])
  }
})
