import t from 'tap'
import { Value } from '@sinclair/typebox/value'
import { flac, m4a, mp3, ogg, wav } from '../../../scripts/samples/audio.ts'
import { AudioTagsSchema, readAudioTags } from '../../../services/audio/tags.ts'

const TAGS = { title: 'Grüße', artist: 'Café Ünicode', album: 'Альбом', trackNumber: 7, year: 1999, genre: 'Rock' }
const EXPECTED = { title: TAGS.title, artist: TAGS.artist, album: TAGS.album, track_number: 7, year: 1999, genre: 'Rock' }
const MIB = 1_048_576

const FORMATS = [
  { type: 'audio/wav', file: wav({ seconds: 3, ...TAGS }), format: { container: 'WAVE', codec: 'PCM', duration_seconds: 3, bitrate_bps: 352_800, sample_rate_hz: 22_050, channels: 1 } },
  { type: 'audio/mpeg', file: mp3({ seconds: 3, ...TAGS }), format: { container: 'MPEG', codec: 'MPEG 1 Layer 3', duration_seconds: 3, bitrate_bps: 128_000, sample_rate_hz: 48_000, channels: 2 } },
  { type: 'audio/flac', file: flac({ seconds: 3, ...TAGS }), format: { container: 'FLAC', codec: 'FLAC', duration_seconds: 3, sample_rate_hz: 44_100, channels: 1 } },
  { type: 'audio/mp4', file: m4a({ seconds: 3, ...TAGS }), format: { container: 'M4A/mp42/isom', codec: 'MPEG-4/AAC', duration_seconds: 3.019, sample_rate_hz: 44_100, channels: 1 } },
  { type: 'audio/ogg', file: ogg({ seconds: 3, ...TAGS }), format: { container: 'Ogg', codec: 'Opus', duration_seconds: 3, sample_rate_hz: 48_000, channels: 1 } }
]

function cut (file: Buffer, ...sizes: number[]): Buffer[] {
  const parts: Buffer[] = []
  for (let at = 0, index = 0; at < file.length; index++) {
    const size = sizes[index % sizes.length] ?? file.length
    parts.push(file.subarray(at, at + size))
    at += size
  }
  return parts
}

const read = (file: Buffer, contentType: string, size = file.length) => readAudioTags([file], { contentType, size })

for (const { type, file, format } of FORMATS) {
  t.test(`reads tags and format of ${type}`, async t => {
    const tags = await read(file, type)
    t.match(tags, { ...EXPECTED, ...format })
    t.ok(Value.Check(AudioTagsSchema, tags), 'as its schema says')
    t.ok((tags?.bitrate_bps ?? 0) > 0, 'with a bitrate')
  })

  t.test(`reads ${type} out of parts that are cut at odd offsets`, async t => {
    const whole = await read(file, type)
    for (const sizes of [[1, 2, 3, 5, 7, 11, 13], [file.length - 1], [1021], [33, 1], [0, 4_099]]) {
      t.same(await readAudioTags(cut(file, ...sizes), { contentType: type, size: file.length }), whole, `parts of ${sizes.join(', ')} bytes`)
    }
  })

  t.test(`never rejects ${type} that is cut off`, async t => {
    for (let length = 0; length < file.length; length += length < 1_500 ? 7 : 4_001) {
      for (const size of [length, file.length]) {
        const tags = await read(file.subarray(0, length), type, size)
        if (tags !== null && !Value.Check(AudioTagsSchema, tags)) t.fail(`${length} of ${size} bytes: ${JSON.stringify(tags)}`)
      }
    }
    t.equal(await read(file.subarray(0, 3), type), null, 'three bytes say nothing')
  })
}

t.test('reads an M4A whose index is at the end', async t => {
  const file = m4a({ ...TAGS, minBytes: MIB, moovAtEnd: true })
  t.match(await readAudioTags(cut(file, 300_001), { contentType: 'audio/mp4', size: file.length }), { ...EXPECTED, sample_rate_hz: 44_100 })
  t.match(await read(file.subarray(0, MIB / 2), 'audio/mp4', file.length), { container: 'M4A/mp42/isom', title: null, duration_seconds: null }, 'the beginning alone says little')
})

t.test('reads the beginning of a file as far as it goes', async t => {
  const beginning = (file: Buffer, contentType: string) => read(file.subarray(0, MIB / 2), contentType, file.length)
  const minBytes = MIB
  t.match(await beginning(wav({ ...TAGS, minBytes }), 'audio/wav'), { ...EXPECTED, duration_seconds: 24 }, 'WAV')
  t.match(await beginning(flac({ ...TAGS, minBytes }), 'audio/flac'), { ...EXPECTED, duration_seconds: 12 }, 'FLAC')
  t.match(await beginning(m4a({ ...TAGS, minBytes }), 'audio/mp4'), { ...EXPECTED, channels: 1 }, 'M4A')
  t.match(await beginning(mp3({ ...TAGS, minBytes }), 'audio/mpeg'), { ...EXPECTED, duration_seconds: 66 }, 'MP3')
  t.match(await beginning(mp3({ minBytes }).subarray(10), 'audio/mpeg'), { codec: 'MPEG 1 Layer 3', duration_seconds: 66 }, 'MP3 without tags')
  t.match(await beginning(ogg({ ...TAGS, minBytes }), 'audio/ogg'), { ...EXPECTED, duration_seconds: null }, 'Ogg, whose duration is at its end')
})

t.test('takes a file of unknown size for a beginning', async t => {
  t.match(await readAudioTags([wav({ seconds: 3, ...TAGS })], { contentType: 'audio/wav' }), { ...EXPECTED, duration_seconds: 3 })
  t.match(await readAudioTags([ogg({ seconds: 3, ...TAGS })], { contentType: 'audio/ogg' }), { ...EXPECTED, duration_seconds: null, bitrate_bps: null })
})

t.test('passes a large cover over', async t => {
  const file = mp3({ seconds: 3, ...TAGS, coverBytes: 3 * MIB })
  t.match(await readAudioTags(cut(file, 100_003), { contentType: 'audio/mpeg', size: file.length }), { ...EXPECTED, duration_seconds: 3 })
  t.match(await read(file.subarray(0, MIB), 'audio/mpeg', file.length), null, 'which hides everything where it is longer than what is held')
})

t.test('passes it over in every version of ID3v2', async t => {
  const audio = mp3({ seconds: 3 }).subarray(10)
  const title = Buffer.concat([Buffer.from([1, 0xff, 0xfe]), Buffer.from('Жук', 'utf16le')])
  const frame = (version: number, id: string, body: Buffer) => {
    const size = Buffer.alloc(4)
    size.writeUInt32BE(version === 4 ? body.length % 128 + Math.floor(body.length / 128) % 128 * 256 + Math.floor(body.length / 16_384) * 65_536 : body.length)
    return Buffer.concat([Buffer.from(id), version === 2 ? size.subarray(1) : Buffer.concat([size, Buffer.alloc(2)]), body])
  }
  for (const [version, picture, name] of [[2, 'PIC', 'TT2'], [3, 'APIC', 'TIT2'], [4, 'APIC', 'TIT2']] as const) {
    const frames = Buffer.concat([frame(version, picture, Buffer.alloc(40_000, 0x41)), frame(version, name, title), Buffer.alloc(1_000)])
    const length = frames.length
    for (const flags of [0, 0x40]) {
      const header = Buffer.from([0x49, 0x44, 0x33, version, 0, flags, 0, length >> 14, (length >> 7) & 0x7f, length & 0x7f])
      const tags = await readAudioTags(cut(Buffer.concat([header, frames, audio]), 777), { contentType: 'audio/mpeg', size: 10 + length + audio.length })
      t.match(tags, { title: flags === 0 ? 'Жук' : null, duration_seconds: 3 }, `version 2.${version}, flags ${flags}`)
    }
  }
})

t.test('reads the ID3v1 tag at the end of a file', async t => {
  const tag = Buffer.alloc(128)
  tag.write('TAGOld Title', 'latin1')
  tag.write('Old Artist', 33, 'latin1')
  t.match(await read(Buffer.concat([mp3(), tag]), 'audio/mpeg'), { title: 'Old Title', artist: 'Old Artist' })
})

t.test('measures an Ogg Vorbis file by its last page', async t => {
  const page = (number: number, flags: number, granule: number, body: Buffer) => {
    const header = Buffer.alloc(28)
    header.write('OggS')
    header[5] = flags
    header.writeBigInt64LE(BigInt(granule), 6)
    header.writeUInt32LE(number, 18)
    header[26] = 1
    header[27] = body.length
    return Buffer.concat([header, body])
  }
  const identification = Buffer.alloc(30)
  identification.write('\x01vorbis', 'latin1')
  identification[11] = 2
  identification.writeUInt32LE(44_100, 12)
  const comments = Buffer.concat([Buffer.from('\x03vorbis\0\0\0\0\x01\0\0\0\x09\0\0\0', 'latin1'), Buffer.from('TITLE=abc')])
  const file = Buffer.concat([page(0, 2, 0, identification), page(1, 0, 0, comments), page(2, 0, -1, Buffer.alloc(200)), page(3, 4, 441_000, Buffer.alloc(200))])
  t.match(await read(file, 'application/ogg'), { codec: 'Vorbis I', title: 'abc', duration_seconds: 10, channels: 2 })
  t.match(await read(Buffer.concat([file, Buffer.from('OggS')]), 'audio/ogg'), { duration_seconds: 10 }, 'with a torn page behind it')
  t.match(await read(Buffer.concat([file, page(4, 0, -1, Buffer.alloc(200))]), 'audio/ogg'), { duration_seconds: 10 }, 'with a page on which no packet ends')
  const large = Buffer.concat([comments.subarray(0, -1), Buffer.alloc(200)])
  t.match(await read(Buffer.concat([page(0, 2, 0, identification), page(1, 0, -1, large.subarray(0, 250)), Buffer.alloc(3 * MIB, page(2, 1, -1, large.subarray(0, 250))), page(3, 4, 441_000, Buffer.alloc(9))]), 'audio/ogg'),
    { codec: 'Vorbis I', title: null, duration_seconds: 10 }, 'with comments that are too large to be read')
})

t.test('reads Latin-1 and UTF-8 in RIFF tags', async t => {
  const utf8 = wav({ title: 'Ärger' })
  const latin = Buffer.from(utf8.toString('latin1').replace('Ã\u0084rger\0', 'Ärger\0\0'), 'latin1')
  t.match(await read(utf8, 'audio/wav'), { title: 'Ärger' })
  t.match(await read(latin, 'audio/wav'), { title: 'Ärger' })
})

t.test('cleans the text of tags', async t => {
  const tags = await read(flac({ title: ' a\u0000b\u001b[31m\n ', artist: '\u0007 ', album: 'x'.repeat(5_000), genre: `${'y'.repeat(999)}\u{1f3b5}` }), 'audio/flac')
  t.equal(tags?.title, 'ab[31m')
  t.equal(tags?.artist, null)
  t.equal(tags?.album, 'x'.repeat(1_000))
  t.equal(tags?.genre, 'y'.repeat(999))
  t.doesNotThrow(() => encodeURIComponent(JSON.stringify(tags)), 'no half of a surrogate pair is left')
  t.match(await read(flac({ trackNumber: 0, year: 0 }), 'audio/flac'), { track_number: null, year: null })
})

t.test('does not pass the bitrate of a few frames off as that of the file', async t => {
  const adts = Buffer.alloc(8_000, Buffer.concat([Buffer.from('fff150800d1ffc', 'hex'), Buffer.alloc(97)]))
  t.match(await read(adts, 'audio/aac'), { codec: 'AAC', sample_rate_hz: 44_100, bitrate_bps: null, duration_seconds: null })
})

t.test('tries only what may be audio', async t => {
  const file = m4a(TAGS)
  t.match(await read(file, 'video/mp4'), EXPECTED)
  t.match(await read(file, 'video/quicktime'), EXPECTED)
  t.equal(await read(file, 'application/pdf'), null)
  t.equal(await read(file.subarray(0, 28), 'video/mp4'), null, 'a video container without a sound track')
  t.equal(await read(Buffer.from('no audio at all, whatever was declared'), 'audio/mpeg'), null)
  t.equal(await readAudioTags([], { contentType: 'audio/wav', size: 0 }), null, 'an empty file')
  t.match(await readAudioTags([file], { contentType: 'audio/unheard-of', size: file.length, filename: 'song.m4a' }), EXPECTED, 'the name helps where the type does not')
})

t.test('survives garbage behind the magic numbers of audio files', async t => {
  const magics: Array<[string, Buffer]> = [
    ['audio/wav', wav().subarray(0, 12)], ['audio/mpeg', Buffer.from('ID3\x04\0\0\x01\x7f\x7f\x7f', 'latin1')], ['audio/mpeg', Buffer.from('fffb9000', 'hex')],
    ['audio/flac', flac().subarray(0, 42)], ['audio/mp4', m4a().subarray(0, 28)], ['audio/ogg', ogg().subarray(0, 47)], ['audio/aac', Buffer.from('fff15080', 'hex')],
    ['audio/aiff', Buffer.from('FORM\0\x01\0\0AIFF')], ['audio/wavpack', Buffer.from('wvpk')], ['audio/x-ms-asf', Buffer.from('3026b2758e66cf11a6d900aa0062ce6c', 'hex')]
  ]
  let seed = 1
  const random = () => { seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648; return seed >>> 16 }
  for (let round = 0; round < 50; round++) {
    const [contentType, magic] = magics[round % magics.length] ?? ['', Buffer.alloc(0)]
    const file = Buffer.concat([magic, Buffer.from(Array.from({ length: 20_000 }, random))])
    const tags = await readAudioTags(cut(file, 4_999), { contentType, size: round % 3 === 0 ? file.length * 1_000 : file.length })
    t.ok(tags === null || Value.Check(AudioTagsSchema, tags), `${contentType}, round ${round}`)
  }
})

t.test('stops at files that are made to keep a parser busy', async t => {
  const size = 8 * MIB
  const tag = (frame: string) => Buffer.concat([Buffer.from('ID3\x03\0\0\x03\x7f\x7f\x7f', 'latin1'), Buffer.alloc(size, frame, 'latin1')])
  t.equal(await read(tag('TXXX\0\0\0\x04\0\0\0a\0b'), 'audio/mpeg'), null, 'a tag of nothing but tiny frames')
  t.equal(await read(Buffer.alloc(size, 0xff), 'audio/mpeg'), null, 'a beginning of a frame at every byte')

  const opus = ogg()
  const page = Buffer.concat([opus.subarray(0, 26), Buffer.from([1, 1, 0])])
  page[5] = 1
  t.match(await read(Buffer.concat([opus.subarray(0, opus.indexOf('OpusTags') + 8), Buffer.alloc(size, page)]), 'audio/ogg'), { title: null }, 'a packet over endless pages')
})

t.test('lets other work run during a long parse', async t => {
  let turns = 0
  let done = false
  const count = () => { turns += 1; if (!done) setImmediate(count) }
  setImmediate(count)
  await read(Buffer.concat([m4a().subarray(0, 28), Buffer.alloc(MIB, Buffer.from('\0\0\0\x08free', 'latin1'))]), 'audio/mp4')
  done = true
  t.ok(turns > 10, `${turns} turns`)
})
