import t from 'tap'
import { flac, m4a, mp3, ogg, wav } from '../../../scripts/samples/audio.ts'
import { mayHaveTags, readAudioTags } from '../../../services/audio/tags.ts'
import type { AudioTags } from '../../../services/audio/tags.ts'

const KIB = 1_024
const AUDIO = mp3({ seconds: 1 }).subarray(10)

function tag (texts: Record<string, string>): Buffer {
  const frames = Buffer.concat(Object.entries(texts).map(([id, text]) => {
    const body = Buffer.concat([Buffer.from([1, 0xff, 0xfe]), Buffer.from(text, 'utf16le')])
    const header = Buffer.alloc(10)
    header.write(id)
    header.writeUInt32BE(body.length, 4)
    return Buffer.concat([header, body])
  }))
  const size = frames.length
  return Buffer.concat([Buffer.from([0x49, 0x44, 0x33, 3, 0, 0, size >> 21, (size >> 14) & 0x7f, (size >> 7) & 0x7f, size & 0x7f]), frames])
}

const read = async (file: Buffer, contentType = 'audio/mpeg', filename?: string): Promise<AudioTags | null> =>
  await readAudioTags([file], { contentType, size: file.length, ...(filename === undefined ? {} : { filename }) })

/** What is read of one field of an MP3. */
async function field (id: string, text: string, name: keyof AudioTags): Promise<unknown> {
  return (await read(Buffer.concat([tag({ [id]: text }), AUDIO])))?.[name]
}

t.test('audio may have tags, and so may what holds audio as often as not', async t => {
  for (const type of ['audio/mpeg', 'audio/x', 'application/ogg', 'video/mp4', 'video/quicktime']) t.equal(mayHaveTags(type), true, type)
  for (const type of ['', 'audio', 'x-audio/mpeg', 'video/webm', 'application/pdf', 'image/png']) t.equal(mayHaveTags(type), false, type)
})

t.test('text is cleaned, and cut to a thousand characters and no half of one', async t => {
  for (const [text, expected] of [
    ['Grüße, Жук', 'Grüße, Жук'],
    [' a b ', 'a b'],
    [`  ${'x'.repeat(1_001)}`, 'x'.repeat(1_000)],
    ['a\x01\nb\x7f\x85', 'ab'],
    [' \x01 ', null],
    ['x'.repeat(1_001), 'x'.repeat(1_000)],
    [`${'x'.repeat(998)}🎵y`, `${'x'.repeat(998)}🎵`],
    [`${'x'.repeat(999)}🎵`, 'x'.repeat(999)],
    [`${'x'.repeat(999)} y`, 'x'.repeat(999)],
    [`${'x'.repeat(998)} 🎵`, 'x'.repeat(998)],
    [`${'\x01'.repeat(3_998)}abc`, 'ab'],
    [`${'\x01'.repeat(3_999)}🎵`, null],
  ] as const) t.equal(await field('TIT2', text, 'title'), expected, JSON.stringify(text.slice(-10)))
  t.equal(await field('TCON', 'Rock\0Pop', 'genre'), 'Rock, Pop', 'several genres are one text')
})

t.test('numbers are whole and positive, and years have four digits at most', async t => {
  for (const [text, expected] of [['1', 1], ['7/12', 7], ['0', null], ['9007199254740991', Number.MAX_SAFE_INTEGER], ['9007199254740993', null], ['x', null]] as const) {
    t.equal(await field('TRCK', text, 'track_number'), expected, `track ${text}`)
  }
  for (const [text, expected] of [['1', 1], ['1999', 1999], ['9999', 9999], ['10000', null], ['0', null], ['x', null]] as const) {
    t.equal(await field('TYER', text, 'year'), expected, `year ${text}`)
  }
})

t.test('text of RIFF is UTF-8 where it can be, else Latin-1, and let be where it is more than bytes', async t => {
  for (const [name, title, expected] of [
    ['ASCII', Buffer.from('Arger\0\0'), 'Arger'],
    ['UTF-8', Buffer.from('Ärger\0'), 'Ärger'],
    ['Latin-1', Buffer.from('Ärger\0\0', 'latin1'), 'Ärger'],
  ] as const) {
    const file = wav({ seconds: 1, title: 'Ärger' })
    title.copy(file, file.indexOf('Ärger'))
    t.match(await read(file, 'audio/wav'), { title: expected }, name)
  }
  const file = wav({ seconds: 1 })
  const id3 = tag({ TIT2: 'Ã\x84夢', TPE1: 'Ã\x84' })
  const chunk = Buffer.concat([Buffer.from('id3 '), Buffer.alloc(4), id3])
  chunk.writeUInt32LE(id3.length, 4)
  const withId3 = Buffer.concat([file.subarray(0, 12), chunk, file.subarray(12)])
  withId3.writeUInt32LE(withId3.length - 8, 4)
  t.match(await read(withId3, 'audio/wav'), { title: 'Ã夢', artist: 'Ä', duration_seconds: 1 })
  t.equal(await field('TIT2', 'Ã\x84', 'title'), 'Ã', 'and in no other format')
})

t.test('a bitrate is that of the format, or the size by the duration', async t => {
  const seconds = 3
  for (const [type, file, bitrate_bps] of [
    ['audio/wav', wav({ seconds }), 352_800],
    ['audio/mpeg', mp3({ seconds }), 128_000],
    ['audio/ogg', ogg({ seconds }), Math.round(ogg({ seconds }).length * 8 / seconds)],
  ] as const) t.match(await read(file, type), { duration_seconds: 3, bitrate_bps }, type)
  t.match(await read(mp3({ seconds }).subarray(10)), { duration_seconds: 3, bitrate_bps: 128_000 }, 'without a tag')
  t.match(await read(ogg({ seconds: 0 }), 'audio/ogg'), { duration_seconds: 0, bitrate_bps: null }, 'of nothing there is none')

  const nothing = wav({ seconds })
  nothing.fill(0, 22, 32) // channels, rate, bytes per second
  t.match(await read(nothing, 'audio/wav'), { codec: 'PCM', channels: null, sample_rate_hz: null, bitrate_bps: null, duration_seconds: null }, 'numbers of nothing are none')
})

t.test('a file is whole where its size is held, or unknown sizes are those of beginnings', async t => {
  const file = ogg({ seconds: 2 })
  const durations = async (size?: number) => (await readAudioTags([file], { contentType: 'audio/ogg', ...(size === undefined ? {} : { size }) }))?.duration_seconds
  t.equal(await durations(file.length), 2)
  t.equal(await durations(file.length - 1), 2, 'less is a mistake')
  t.equal(await durations(file.length + 1), null)
  t.equal(await durations(), null)
})

t.test('the name of a file leads to its parser where neither type nor beginning does', async t => {
  const file = Buffer.concat([Buffer.alloc(5_000), AUDIO])
  t.match(await read(file, 'audio/unheard-of', 'song.mp3'), { codec: 'MPEG 1 Layer 3' })
  t.equal(await read(file, 'audio/unheard-of'), null)
})

const LARGE = m4a({ title: 'x'.repeat(200 * KIB), album: 'y' })
const SMALL = m4a({ title: 'x', album: 'y' })

t.test('only the types that lead to the parser of MP4 have its budget', async t => {
  for (const type of ['audio/mp4', 'video/mp4', 'audio/m4a', 'audio/x-m4a', 'video/quicktime']) t.match(await read(LARGE, type), { title: 'x'.repeat(1_000), album: 'y' }, type)
  for (const type of ['audio/mp4a-latm', 'audio/x-m4a-x', 'audio/unheard-of', 'audio/x-audio/mp4', 'audio/x-audio/m4a', 'audio/x-video/quicktime', 'audio/y-m4a']) {
    t.match(await read(SMALL, type, 'song.m4a'), { title: 'x', album: 'y' }, type)
    t.match(await read(LARGE, type, 'song.m4a'), { title: null, album: null }, type)
  }
  t.match(await read(m4a({ title: 'x'.repeat(4_097 * KIB) }), 'audio/mp4'), { title: null }, 'which ends, too')
})

function oggPage (number: number, flags: number, body: Buffer, granule = 0): Buffer {
  const segments = Buffer.from([...Array<number>(Math.floor(body.length / 255)).fill(255), ...(body.length % 255 > 0 ? [body.length % 255] : [])])
  const header = Buffer.alloc(27)
  header.write('OggS')
  header[5] = flags
  header.writeBigInt64LE(BigInt(granule), 6)
  header.writeUInt32LE(number, 18)
  header[26] = segments.length
  return Buffer.concat([header, segments, body])
}

/** Opus whose comments, with a picture in them, take as many pages as they need. */
function opusWith (pictureBytes: number): Buffer {
  const text = (value: string) => Buffer.concat([Buffer.from(Uint32Array.of(value.length).buffer), Buffer.from(value, 'latin1')])
  const comments = Buffer.concat([Buffer.from('OpusTags'), text('x'), Buffer.from(Uint32Array.of(2).buffer), text(`METADATA_BLOCK_PICTURE=${'A'.repeat(pictureBytes)}`), text('TITLE=x')])
  const sample = ogg()
  const pages = [oggPage(0, 2, sample.subarray(28, sample.indexOf('OggS', 1)))]
  for (let at = 0; at < comments.length; at += 65_025) pages.push(oggPage(pages.length, at === 0 ? 0 : 1, comments.subarray(at, at + 65_025)))
  return Buffer.concat([...pages, oggPage(pages.length, 4, Buffer.from([0xf8, 0xff, 0xfe]))])
}

t.test('Ogg is read as such, whatever holds its sound', async t => {
  const file = ogg({ seconds: 2, title: 'x' })
  for (const type of ['audio/ogg', 'application/ogg']) t.match(await read(file, type, 'song.mp3'), { codec: 'Opus', title: 'x', duration_seconds: 2 }, type)

  const inside = Buffer.concat([Buffer.from('\x7fFLAC\x01\0\0\x01', 'latin1'), flac({ seconds: 2 }).subarray(0, 42)])
  t.match(await read(Buffer.concat([oggPage(0, 2, inside), oggPage(1, 4, Buffer.alloc(9))]), 'audio/ogg'), { container: 'Ogg', codec: 'FLAC', duration_seconds: 2 }, 'FLAC says itself how long it is')

  for (const [nominal, bitrate_bps] of [[112_000, 112_000], [0, (58 + 37) * 8]] as const) {
    const vorbis = Buffer.alloc(30)
    vorbis.write('\x01vorbis', 'latin1')
    vorbis[11] = 2
    vorbis.writeUInt32LE(44_100, 12)
    vorbis.writeUInt32LE(nominal, 20)
    const pages = [oggPage(0, 2, vorbis), oggPage(1, 4, Buffer.alloc(9), 44_100)]
    t.match(await read(Buffer.concat(pages), 'audio/ogg'), { codec: 'Vorbis I', duration_seconds: 1, bitrate_bps }, `Vorbis of nominally ${nominal} bit/s`)
  }
})

t.test('of a file with thousands of tags the first are read', async t => {
  const chunk = (id: string, body: Buffer) => Buffer.concat([Buffer.from(id), Buffer.from(Uint32Array.of(body.length).buffer).reverse(), body])
  const aiff = (count: number) => chunk('FORM', Buffer.concat([
    Buffer.from('AIFF'),
    chunk('COMM', Buffer.from('00010000ac440010400eac44000000000000', 'hex')), // 1 channel, 44,100 samples of 16 bits at 44,100 Hz
    chunk('AUTH', Buffer.from('aa')), ...Array<Buffer>(count).fill(chunk('ANNO', Buffer.from('xx'))), chunk('NAME', Buffer.from('tt')),
  ]))
  t.match(await read(aiff(1_900), 'audio/aiff'), { artist: 'aa', title: 'tt', sample_rate_hz: 44_100 })
  t.match(await read(aiff(2_000), 'audio/aiff'), { artist: 'aa', title: null, sample_rate_hz: 44_100 })
})

t.test('only the types that lead to the parser of Ogg have its budget', async t => {
  const [large, small] = [opusWith(300 * KIB), opusWith(KIB)]
  for (const type of ['audio/ogg', 'application/ogg', 'audio/opus']) t.match(await read(large, type), { codec: 'Opus', title: 'x' }, type)
  for (const type of ['audio/x', 'audio/ogg-x', 'audio/opus-x', 'audio/x-application/ogg', 'audio/x-audio/opus']) {
    t.match(await read(small, type, 'song.ogg'), { codec: 'Opus', title: 'x' }, type)
    t.match(await read(large, type, 'song.ogg'), { codec: 'Opus', title: null }, type)
  }
  t.match(await read(opusWith(2_048 * KIB), 'audio/ogg'), { codec: 'Opus', title: null }, 'which ends, too')
})
