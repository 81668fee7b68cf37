import t from 'tap'
import type { Test } from 'tap'
import { flac, m4a, mp3, ogg, wav } from '../../../scripts/samples/audio.ts'
import { streamOf } from '../forms/forms.ts'
import { b2Env, post, put, sha256, startB2, startService } from '../service/service.ts'
import type { Answer } from '../service/service.ts'

export const tags = { seconds: 3, title: 'Ä Título 🎵', artist: 'The Artist', album: 'Album', trackNumber: 7, year: 2024, genre: 'Jazz' }
export const samples: [name: string, content: Buffer, type: string, audio: object][] = [
  ['a.wav', wav(tags), 'audio/wav', { container: 'WAVE', sample_rate_hz: 22_050, channels: 1 }],
  ['a.mp3', mp3(tags), 'audio/mpeg', { container: 'MPEG', sample_rate_hz: 48_000, channels: 2, bitrate_bps: 128_000 }],
  ['a.flac', flac(tags), 'audio/flac', { container: 'FLAC', sample_rate_hz: 44_100, channels: 1 }],
  ['a.m4a', m4a(tags), 'audio/mp4', { sample_rate_hz: 44_100, channels: 1 }],
  ['end.m4a', m4a({ ...tags, moovAtEnd: true }), 'audio/mp4', { sample_rate_hz: 44_100, channels: 1 }],
  ['a.ogg', ogg(tags), 'audio/ogg', { container: 'Ogg', sample_rate_hz: 48_000, channels: 1 }],
]
const FIELDS = ['album', 'artist', 'bitrate_bps', 'channels', 'codec', 'container', 'duration_seconds', 'genre', 'sample_rate_hz', 'title', 'track_number', 'year']

export function isTagged (t: Test, { status, body }: Answer, content: Buffer, type: string, audio: object): void {
  t.equal(status, 201)
  t.equal(body.track.sha256, sha256(content))
  t.match(body.track.content_type, type)
  t.strictSame(Object.keys(body.track.audio ?? {}).sort(), FIELDS)
  t.match(body.track.audio, { title: tags.title, artist: tags.artist, album: tags.album, track_number: 7, year: 2024, genre: 'Jazz', ...audio })
  t.ok(Math.abs(body.track.audio?.duration_seconds - 3) < 0.1, `about 3 seconds: ${body.track.audio?.duration_seconds}`)
  t.ok(body.track.audio?.bitrate_bps > 0)
}

/** Every format, in one piece. */
export function tagSmallFiles (mode: 'B2' | 'local-only'): void {
  t.test(`what files say about themselves is in the answer in ${mode} mode`, async t => {
    const service = await startService(t, mode === 'B2' ? { ...b2Env(await startB2(t)), B2_STALL_TIMEOUT_MS: '10000' } : {})
    for (const [name, content, type, audio] of samples) {
      for (const upload of [put, post]) {
        await t.test(`${upload.name} of ${name}`, async t => {
          const answer = await upload(service, content, name)
          t.equal(answer.body.storage, mode === 'B2' ? 'b2' : 'local')
          isTagged(t, answer, content, type, audio)
        })
      }
    }
  })
}

export const large = {
  'a.wav': { type: 'audio/wav', content: () => wav({ ...tags, minBytes: 12_000_000 }) },
  'a.mp3': { type: 'audio/mpeg', content: () => mp3({ ...tags, minBytes: 12_000_000, coverBytes: 1_000_000 }) },
  'a.m4a': { type: 'audio/mp4', content: () => m4a({ ...tags, minBytes: 12_000_000, moovAtEnd: true }) },
  'a.flac': { type: 'audio/flac', content: () => flac({ ...tags, minBytes: 40_000_000 }) },
}

/** Files of several parts, the index of one at its end. */
export function tagLargeFiles (mode: 'B2' | 'local-only', names = Object.keys(large) as (keyof typeof large)[]): void {
  t.test(`so it is for files of several parts, the index at the end, and without a length in ${mode} mode`, async t => {
    const service = await startService(t, mode === 'B2' ? { ...b2Env(await startB2(t)), B2_STALL_TIMEOUT_MS: '10000' } : {})
    for (const name of names) {
      const { type } = large[name]
      const content = large[name].content()
      const answer = await put(service, content, name)
      t.equal(answer.body.track.sha256, sha256(content))
      t.equal(answer.body.track.content_type, type)
      t.match(answer.body.track.audio, { title: tags.title, artist: tags.artist, duration_seconds: Number }, name)
      const chunked = await fetch(`${service.url}/uploads/${name}`, { method: 'PUT', body: streamOf(content), duplex: 'half' } as RequestInit)
      t.match((await chunked.json() as Answer['body']).track.audio, { title: tags.title, artist: tags.artist }, `${name} without a length`)
    }
  })
}
