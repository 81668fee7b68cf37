import t from 'tap'
import type { Test } from 'tap'
import { flac, m4a, mp3, ogg } from '../../scripts/samples/audio.ts'
import { webm } from '../../scripts/samples/webm.ts'
import { fieldPart, filePart } from '../support/forms/forms.ts'
import { postParts } from '../support/forms/raw-forms.ts'
import { connect, isError } from '../support/clients/raw-http.ts'
import type { RawAnswer } from '../support/clients/raw-http.ts'
import { sha256, startService } from '../support/service/service.ts'
import type { TestService } from '../support/service/service.ts'

/** Uploads as a body and as a form. */
async function upload (t: Test, service: TestService, content: Buffer, type: string | undefined, name: string): Promise<RawAnswer[]> {
  const client = await connect(t, service)
  await client.send(Buffer.concat([Buffer.from(`PUT /uploads/${name} HTTP/1.1\r\nhost: x\r\ncontent-length: ${content.byteLength}\r\n${type === undefined ? '' : `content-type: ${type}\r\n`}\r\n`), content]))
  return [(await client.answer())!, await postParts(t, service, fieldPart('a', 'b'), filePart(content, { filename: name, type: type ?? 'application/octet-stream' }))]
}

async function isStoredAs (t: Test, service: TestService, content: Buffer, declared: string | undefined, name: string, type: string, audio: object | null): Promise<void> {
  for (const answer of await upload(t, service, content, declared, name)) {
    t.equal(answer.status, 201, `${name}, ${declared}: ${answer.text}`)
    t.match({ ...answer.body.track }, { content_type: type, sha256: sha256(content) }, `${name}, ${declared}`)
    if (audio === null) t.equal(answer.body.track.audio, null)
    else t.match(answer.body.track.audio, audio, `${name}, ${declared}`)
  }
}

function oggWith (first: string): Buffer {
  const packet = Buffer.alloc(40)
  packet.write(first, 'latin1')
  const head = Buffer.alloc(28)
  head.write('OggS')
  head[5] = 2
  head.writeUInt32LE(99, 14)
  head[26] = 1
  head[27] = packet.length
  return Buffer.concat([head, packet, ogg()])
}

const opus = { codec: 'OPUS', sample_rate_hz: 48_000, channels: 1 }
const aac = { codec: 'MPEG-4/AAC', sample_rate_hz: 44_100, channels: 1 }

t.test('a container of sound alone is audio, if it is declared so, and its audio is filled', async t => {
  const service = await startService(t, { UPLOAD_ALLOWED_TYPES: 'audio/*' })
  const cases: [content: Buffer, declared: string | undefined, name: string, type: string, audio: object | null][] = [
    [webm({ isLive: true }), 'audio/webm;codecs=opus', 'recording.webm', 'audio/webm', { ...opus, container: 'EBML/webm' }],
    [webm({ isLive: true, seconds: 30 }), 'AUDIO/WEBM; codecs="opus"', 'blob', 'audio/webm', opus],
    [webm({ seconds: 3, title: 'A Title', artist: 'An Artist' }), 'audio/webm', 'a.webm', 'audio/webm', { ...opus, duration_seconds: 3, artist: 'An Artist' }],
    [webm({ docType: 'matroska' }), 'audio/x-matroska', 'a.mka', 'audio/matroska', { ...opus, duration_seconds: 2 }],
    [webm({ docType: 'matroska' }), 'audio/matroska', 'a.mka', 'audio/matroska', opus],
    [webm({ docType: 'matroska' }), undefined, 'a.mka', 'audio/matroska', opus],
    [webm(), undefined, 'a.weba', 'audio/webm', opus],
    [webm({ voidBytes: 200_000 }), 'audio/webm', 'a.webm', 'audio/webm', opus],
    [m4a({ brand: '3gp4', seconds: 3 }), 'audio/3gpp', 'a.3gp', 'audio/3gpp', { ...aac, duration_seconds: 3.019 }],
    [m4a({ brand: '3gp6', moovAtEnd: true }), 'audio/3gpp; codecs=samr', 'a.3gp', 'audio/3gpp', aac],
    [m4a({ brand: '3g2a' }), 'audio/3gpp2', 'a.3g2', 'audio/3gpp2', aac],
    [m4a({ brand: 'isom', title: 'A Title' }), 'audio/mp4', 'a.mp4', 'audio/mp4', { ...aac, title: 'A Title' }],
    [m4a({ brand: 'mp42' }), 'audio/x-m4a', 'a', 'audio/mp4', aac],
    [m4a({ brand: 'isom', moovAtEnd: true }), undefined, 'a.m4a', 'audio/mp4', aac],
    [m4a({ brand: 'qt  ' }), 'audio/mp4', 'a.m4a', 'audio/mp4', aac],
    [m4a(), 'video/mp4', 'a.mp4', 'audio/mp4', aac],
    [ogg(), 'audio/ogg; codecs=opus', 'a.ogg', 'audio/ogg', { codec: 'Opus' }],
    [ogg(), 'video/ogg', 'a.ogg', 'audio/ogg', { codec: 'Opus' }],
    [oggWith('fishead\0'), 'audio/ogg', 'a.oga', 'audio/ogg', {}],
  ]
  for (const entry of cases) await isStoredAs(t, service, ...entry)
})

t.test('a video stays one, whatever it is declared as', async t => {
  const service = await startService(t)
  const films: [content: Buffer, type: string][] = [
    [webm({ tracks: ['video', 'audio'] }), 'video/webm'],
    [webm({ tracks: ['audio', 'video'], isLive: true }), 'video/webm'],
    [webm({ tracks: ['video'], docType: 'matroska' }), 'video/matroska'],
    [m4a({ brand: 'isom', hasVideo: true }), 'video/mp4'],
    [m4a({ brand: '3gp5', hasVideo: true }), 'video/3gpp'],
    [oggWith('\x80theora'), 'video/ogg'],
  ]
  for (const [content, type] of films) {
    for (const declared of [type, type.replace('video', 'audio'), 'audio/mp4', undefined]) {
      for (const answer of await upload(t, service, content, declared, 'a.mp4')) t.equal(answer.body.track?.content_type, type, `${type} as ${declared}`)
    }
  }
  t.equal((await upload(t, service, m4a({ hasVideo: true }), 'video/mp4', 'a.mp4'))[0]?.body.track.content_type, 'video/mp4', 'though its brand is one of audio')
  for (const [content, type] of [[webm(), 'video/webm'], [m4a({ brand: 'isom' }), 'video/mp4']] as const) {
    t.equal((await upload(t, service, content, type, 'a'))[0]?.body.track.content_type, type, 'nor does what is declared as one become another')
  }
  const audioOnly = await startService(t, { UPLOAD_ALLOWED_TYPES: 'audio/*' })
  for (const [content, type] of films) {
    for (const answer of await upload(t, audioOnly, content, type.replace('video', 'audio'), 'a.mka')) isError(t, answer, 415, 'unsupported_media_type')
  }
})

const TEXTS = { title: 'A Title', artist: 'An Artist' }

/** A file with something between its ID3 tag and its frames. */
function padded (file: Buffer, padding: Buffer): Buffer {
  const frames = file.indexOf(Buffer.from([0xff, 0xfb, 0x94]))
  return Buffer.concat([file.subarray(0, frames), padding, file.subarray(frames)])
}

/** An ID3v2.3 tag with a picture that makes it so large. */
function id3 (bytes: number): Buffer {
  const tag = Buffer.alloc(bytes, 0x41)
  tag.write('ID3\x03\0\0', 'latin1')
  for (let index = 0; index < 4; index++) tag[6 + index] = ((bytes - 10) >> (7 * (3 - index))) & 0x7f
  tag.write('APIC', 10)
  tag.writeUInt32BE(bytes - 20, 14)
  tag.writeUInt16BE(0, 18)
  return tag
}

t.test('audio behind padding or large tags is known by what it is', async t => {
  const service = await startService(t, { UPLOAD_ALLOWED_TYPES: 'audio/*' })
  const song = mp3({ ...TEXTS, seconds: 3 })
  const frames = song.subarray(song.indexOf(Buffer.from([0xff, 0xfb, 0x94])))
  const mpeg = { codec: 'MPEG 1 Layer 3', sample_rate_hz: 48_000, channels: 2 }
  const lossless = { codec: 'FLAC', sample_rate_hz: 44_100, ...TEXTS, duration_seconds: 2 }
  const cases: [content: Buffer, type: string, audio: object][] = [
    [padded(song, Buffer.alloc(4_096)), 'audio/mpeg', { ...mpeg, ...TEXTS }],
    [padded(song, Buffer.alloc(1)), 'audio/mpeg', { ...mpeg, ...TEXTS }],
    [padded(song, Buffer.alloc(50_000)), 'audio/mpeg', { ...mpeg, ...TEXTS }],
    [padded(song, Buffer.from('some junk \xff\xfb\x00'.repeat(9), 'latin1')), 'audio/mpeg', { ...mpeg, ...TEXTS }],
    [padded(mp3({ ...TEXTS, coverBytes: 300_000 }), Buffer.alloc(2_000)), 'audio/mpeg', { ...mpeg, ...TEXTS }],
    [Buffer.concat([Buffer.alloc(1_000), frames]), 'audio/mpeg', mpeg],
    [Buffer.concat([id3(200_000), flac(TEXTS)]), 'audio/flac', lossless],
    [Buffer.concat([id3(2_000_000), flac(TEXTS)]), 'audio/flac', lossless],
    [Buffer.concat([id3(65_000), flac(TEXTS)]), 'audio/flac', lossless],
    [Buffer.concat([id3(300), flac(TEXTS)]), 'audio/flac', lossless],
    [Buffer.concat([id3(300), Buffer.alloc(4_096), flac(TEXTS)]), 'audio/flac', lossless],
    [Buffer.concat([id3(100_000), Buffer.alloc(100), flac(TEXTS)]), 'audio/flac', lossless],
    [Buffer.concat([id3(70_000), id3(70_000), frames]), 'audio/mpeg', mpeg],
    [Buffer.concat([id3(200_000), song]), 'audio/mpeg', mpeg],
  ]
  for (const [content, type, audio] of cases) {
    for (const declared of [undefined, 'text/plain', 'audio/x-unknown']) await isStoredAs(t, service, content, declared, 'a.bin', type, audio)
  }
  const large = Buffer.concat([id3(6_000_000), frames])
  t.equal((await upload(t, service, large, undefined, 'a'))[0]?.body.track.content_type, 'audio/mpeg', 'what is behind a tag of more than 5 MiB is taken for MP3')
  for (const nothing of [Buffer.alloc(5_000), Buffer.concat([Buffer.alloc(1_000), Buffer.from([0xff, 0xfb]), Buffer.alloc(1_000)])]) {
    for (const answer of await upload(t, service, nothing, undefined, 'a')) isError(t, answer, 415, 'unsupported_media_type')
  }
})
