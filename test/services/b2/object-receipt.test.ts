import t from 'tap'
import { companionBody, companionKey, needsCompanion, objectMetadata, sha256Of, trackFromCompanion, trackFromMetadata } from '../../../services/b2/object-receipt.ts'
import type { Track } from '../../../services/receipt.ts'

const ID = '019a3c5e-6f0a-7c3b-9d51-2f1c8a7be001'
const HASH = 'ab'.repeat(32)
const track: Track = {
  id: ID,
  key: `tracks/${ID}.bin`,
  filename: 'söng.bin',
  content_type: 'application/octet-stream',
  size_bytes: 3,
  sha256: HASH,
  uploaded_at: '2026-01-31T12:00:00.000Z',
  metadata: { a: 'b' },
  audio: null,
}

t.test('a receipt in the metadata is read back as it was', async t => {
  const metadata = objectMetadata(track)
  t.notOk(needsCompanion(metadata))
  t.match(Object.values(metadata).join(''), /^[\x21-\x7e]+$/, 'in printable US-ASCII')
  t.strictSame(trackFromMetadata(track.key, 3, metadata), track)
})

t.test('characters of two halves stay whole in it', async t => {
  const sung = { ...track, metadata: { mood: '🎵🎶' } }
  t.strictSame(trackFromMetadata(track.key, 3, objectMetadata(sung)), sung)
})

t.test('metadata that is damaged has no receipt', async t => {
  const metadata = objectMetadata(track)
  for (const receipt of ['null', '5', '%22text%22', '%', 'no JSON', '{}', '[]']) {
    t.equal(trackFromMetadata(track.key, 3, { ...metadata, receipt }), undefined, receipt)
  }
  t.equal(trackFromMetadata(track.key, 3, undefined), undefined)
  t.equal(trackFromMetadata(track.key, 3, { sha256: HASH }), undefined)
})

t.test('a hash is 64 hexadecimal digits and nothing else', async t => {
  t.equal(sha256Of({ sha256: HASH }), HASH)
  for (const sha256 of [`${HASH}0`, `0${HASH}`, HASH.slice(1), HASH.toUpperCase(), '']) t.equal(sha256Of({ sha256 }), undefined, sha256)
  t.equal(sha256Of({}), undefined)
  t.equal(sha256Of(undefined), undefined)
})

t.test('a name goes there up to a thousand characters, encoded', async t => {
  for (const [filename, kept] of [['x'.repeat(1_000), true], ['x'.repeat(1_001), false], ['ü'.repeat(166), true], ['ü'.repeat(167), false]] as const) {
    t.equal(objectMetadata({ filename })['filename'] !== undefined, kept, `${filename.length} of ${filename[0]}`)
  }
})

t.test('all headers together have at most 2,048 bytes, names and prefixes among them', async t => {
  const withField = (length: number): Record<string, string> => objectMetadata({ ...track, metadata: { a: 'x'.repeat(length) } })
  const bytesOf = (metadata: Record<string, string>): number => Object.entries(metadata).map(([name, value]) => `x-amz-meta-${name}${value}`).join('').length
  const room = 2_048 - bytesOf(withField(0))
  t.equal(bytesOf(withField(room)), 2_048)
  t.notOk(needsCompanion(withField(room)))
  t.ok(needsCompanion(withField(room + 1)))
})

t.test('a receipt that makes the headers too large goes beside the file', async t => {
  t.equal(companionKey(track.key), `${track.key}.receipt.json`)
  const large = { ...track, metadata: { a: 'x'.repeat(2_000) } }
  const metadata = objectMetadata(large)
  t.ok(needsCompanion(metadata))
  t.equal(metadata['sha256'], HASH)
  t.strictSame(trackFromCompanion({ key: track.key, size: 3, etag: undefined }, companionBody(large)), large)
  for (const [key, size] of [[`${track.key}x`, 3], [track.key, 4]] as const) t.equal(trackFromCompanion({ key, size, etag: undefined }, companionBody(large)), undefined)
  t.equal(trackFromCompanion({ key: track.key, size: 3, etag: undefined }, Buffer.from('no JSON')), undefined)
})
