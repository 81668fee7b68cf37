import t from 'tap'
import { bytesOfPart, isManifest } from '../../../services/local/manifest.ts'
import type { SplitManifest } from '../../../services/local/manifest.ts'

const sha256 = 'a'.repeat(64)
const SIZE = 35

const first = { number: 1, etag: '"1"' }
const second = { number: 2, bytes: 10, sha256 }
const third = { number: 3, etag: '"3"' }
const last = { number: 4, bytes: 5, sha256 }

/** Parts 1 and 3 are in B2; 2 and 4, the last, are local. */
const MANIFEST: SplitManifest = { upload_id: 'the upload', part_bytes: 10, b2_parts: [first, third], local_parts: [second, last] }

t.test('a manifest that says where each byte is', async t => {
  t.ok(isManifest(MANIFEST, SIZE))
  t.ok(isManifest(JSON.parse(JSON.stringify(MANIFEST)), SIZE), 'after it was written down')
  t.ok(isManifest({ ...MANIFEST, b2_parts: [third, first] }, SIZE), 'in any order')
  t.ok(isManifest({ ...MANIFEST, b2_parts: [first, third, { number: 2, etag: '"2"' }, { number: 4, etag: '"4"' }], local_parts: [] }, SIZE), 'B2 has all')
  t.ok(isManifest({ ...MANIFEST, local_parts: [second, { ...last, bytes: 10 }] }, 40), 'the last part is as long as the others')
})

for (const [name, more] of Object.entries({
  'a hole': { local_parts: [last] },
  'a missing last part': { local_parts: [second] },
  'a missing last part that B2 should have': { b2_parts: [first], local_parts: [second, last] },
  'a part that is in both': { b2_parts: [first, { number: 2, etag: '"2"' }, third] },
  'a part twice in place of another': { b2_parts: [first, first] },
  'a part twice': { b2_parts: [first, third, third] },
  'a part too many': { b2_parts: [first, third, { number: 5, etag: '"5"' }] },
  'a number that leaves a gap': { b2_parts: [first, { number: 5, etag: '"5"' }] },
  'number 0': { b2_parts: [first, third, { number: 0, etag: '"0"' }] },
  'a number that is none': { b2_parts: [first, { number: 2.5, etag: '"3"' }] },
  'a part that is too short': { local_parts: [{ ...second, bytes: 9 }, last] },
  'a part that is too long': { local_parts: [{ ...second, bytes: 11 }, last] },
  'a last part that is too long': { local_parts: [second, { ...last, bytes: 6 }] },
  'an empty part': { local_parts: [second, { ...last, bytes: 0 }] },
  'no bytes of a part': { part_bytes: 0 },
  'other bytes of a part': { part_bytes: 11 },
  'no hash': { local_parts: [second, { number: 4, bytes: 5 }] },
  'half a hash': { local_parts: [second, { ...last, sha256: 'a'.repeat(32) }] },
  'no ETag': { b2_parts: [first, { number: 3 }] },
  'an empty ETag': { b2_parts: [first, { number: 3, etag: '' }] },
  'no upload': { upload_id: undefined },
  'an empty upload': { upload_id: '' },
})) {
  t.notOk(isManifest({ ...MANIFEST, ...more }, SIZE), name)
}

t.test('a manifest of another file', async t => {
  for (const size of [0, 25, 30, 34, 36, 41]) t.notOk(isManifest(MANIFEST, size), `${size} bytes`)
  for (const value of [undefined, null, 'manifest', [], {}]) t.notOk(isManifest(value, SIZE))
})

t.test('bytes of a part', async t => {
  t.same([1, 2, 3, 4].map(number => bytesOfPart(MANIFEST, number, SIZE)), [10, 10, 10, 5])
  t.equal(bytesOfPart(MANIFEST, 4, 40), 10)
})
