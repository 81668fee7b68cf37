import t from 'tap'
import { fallbackReason, isTrack } from '../../services/receipt.ts'
import type { Track } from '../../services/receipt.ts'

const track: Track = {
  id: '019a3c5e-6f0a-7c3b-9d51-2f1c8a7be001',
  key: 'tracks/019a3c5e-6f0a-7c3b-9d51-2f1c8a7be001',
  filename: 'song',
  content_type: 'audio/mpeg',
  size_bytes: 3,
  sha256: 'ab'.repeat(32),
  uploaded_at: '2026-01-31T12:00:00.000Z',
  metadata: { a: 'b' },
  audio: null,
}

t.test('what was stored as a track is one, whatever else it says', async t => {
  t.ok(isTrack(track))
  t.ok(isTrack({ ...track, size_bytes: 0, metadata: {}, audio: { title: 'x' }, later: 'a field of another version' }))
})

t.test('what lacks a field, or has something else in it, is no track', async t => {
  for (const name of Object.keys(track)) {
    t.notOk(isTrack({ ...track, [name]: undefined }), `${name} is missing`)
    t.notOk(isTrack({ ...track, [name]: true }), name)
  }
  for (const size_bytes of [1.5, '3', null, NaN, 2 ** 53]) t.notOk(isTrack({ ...track, size_bytes }), `a size of ${size_bytes}`)
  t.notOk(isTrack({ ...track, metadata: null }))
  t.notOk(isTrack({ ...track, metadata: 'text' }))
  for (const value of [undefined, null, 'text', 5, {}, []]) t.notOk(isTrack(value), JSON.stringify(value))
  t.notOk(isTrack(Object.assign(() => {}, { ...track })), 'a function')
})

t.test('only a receipt of local storage may say why it is not one of B2', async t => {
  const fallback_reason = { error_code: 'timeout', detail: 'x' } as const
  t.equal(fallbackReason({ storage: 'local', location: 'x', fallback_from_b2: true, fallback_reason, track }), fallback_reason)
  t.equal(fallbackReason({ storage: 'local', location: 'x', track }), undefined)
  t.equal(fallbackReason({ storage: 'b2', location: 'x', fallback_reason, track } as never), undefined)
})
