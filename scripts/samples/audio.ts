import { createHash } from 'node:crypto'
import { crc16, crc8, oggCrc } from '../checksums.ts'

/** What a sample file shall say about itself. The same options give the same bytes. */
export interface SampleOptions {
  /** Playing time in seconds. Default 2; more where `minBytes` asks for it. */
  seconds?: number
  /** Least size of the file in bytes, reached by more audio. */
  minBytes?: number
  title?: string
  artist?: string
  album?: string
  trackNumber?: number
  year?: number
  genre?: string
}

const u8 = (...values: number[]): Buffer => Buffer.from(values)
const ascii = (text: string): Buffer => Buffer.from(text, 'latin1')
const u16le = (value: number): Buffer => u8(value & 0xff, value >>> 8)
const u16be = (value: number): Buffer => u16le(value).reverse()
const u32le = (value: number): Buffer => u8(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24)
const u32be = (value: number): Buffer => u32le(value).reverse()

/** The longer of the time asked for and the time that fills `minBytes`. */
function playingTime (options: SampleOptions, bytesPerSecond: number): number {
  return Math.max(options.seconds ?? 2, Math.ceil((options.minBytes ?? 0) / bytesPerSecond))
}

/** Tag names of a format with the values that were given, in a fixed order. */
function tagsOf (options: SampleOptions, names: readonly [string, string, string, string, string, string]): Array<[string, string]> {
  const { title, artist, album, trackNumber, year, genre } = options
  return [title, artist, album, trackNumber, year, genre].flatMap((value, index): Array<[string, string]> => {
    const name = names[index]
    return value === undefined || name === undefined ? [] : [[name, String(value)]]
  })
}

// A rising and falling figure on a pentatonic scale, in semitones above A3.
const MELODY = [0, 7, 12, 16, 19, 16, 12, 7, 2, 9, 14, 17, 21, 17, 14, 9]
const NOTE_SECONDS = 0.25
const WAV_RATE = 22_050

/** PCM WAV, 16 bit mono at 22,050 Hz: a short melody over and over, with LIST/INFO tags in UTF-8. */
export function wav (options: SampleOptions = {}): Buffer {
  const chunk = (id: string, body: Buffer) => Buffer.concat([ascii(id), u32le(body.length), body, Buffer.alloc(body.length % 2)])
  const info = tagsOf(options, ['INAM', 'IART', 'IPRD', 'ITRK', 'ICRD', 'IGNR'])
    .map(([id, value]) => chunk(id, Buffer.from(`${value}\0`)))
  const format = Buffer.concat([u16le(1), u16le(1), u32le(WAV_RATE), u32le(2 * WAV_RATE), u16le(2), u16le(16)])
  const samples = Math.round(playingTime(options, 2 * WAV_RATE) * WAV_RATE)
  const body = Buffer.concat([
    ascii('WAVE'),
    chunk('fmt ', format),
    info.length > 0 ? chunk('LIST', Buffer.concat([ascii('INFO'), ...info])) : u8(),
    chunk('data', Buffer.alloc(2 * samples, melody()))
  ])
  return Buffer.concat([ascii('RIFF'), u32le(body.length), body])
}

function melody (): Buffer {
  const noteSamples = Math.floor(NOTE_SECONDS * WAV_RATE)
  const pcm = Buffer.alloc(2 * noteSamples * MELODY.length)
  MELODY.forEach((semitones, note) => {
    const step = 2 * Math.PI * 220 * 2 ** (semitones / 12) / WAV_RATE
    for (let index = 0; index < noteSamples; index++) {
      const time = index / noteSamples
      const envelope = Math.min(1, time * 50) * Math.exp(-3 * time) * Math.min(1, (1 - time) * 20)
      const tone = Math.sin(step * index) + 0.3 * Math.sin(2 * step * index)
      pcm.writeInt16LE(Math.round(11_000 * envelope * tone), 2 * (note * noteSamples + index))
    }
  })
  return pcm
}

const MP3_FRAME = 384 // 144 * 128,000 / 48,000

/** MP3 with an ID3v2.4 tag: MPEG-1 Layer III, 128 kbit/s, 48 kHz stereo, silence. `coverBytes` puts a picture of that size before the text. */
export function mp3 (options: SampleOptions & { coverBytes?: number } = {}): Buffer {
  const syncsafe = (value: number) => u8((value >>> 21) & 0x7f, (value >>> 14) & 0x7f, (value >>> 7) & 0x7f, value & 0x7f)
  const frame = (id: string, body: Buffer) => Buffer.concat([ascii(id), syncsafe(body.length), u16be(0), body])
  const frames = tagsOf(options, ['TIT2', 'TPE1', 'TALB', 'TRCK', 'TDRC', 'TCON'])
    .map(([id, value]) => frame(id, Buffer.concat([u8(3), Buffer.from(value)])))
  if (options.coverBytes !== undefined) {
    frames.unshift(frame('APIC', Buffer.concat([ascii('\0image/jpeg\0\x03\0'), Buffer.alloc(options.coverBytes, 0xd8)])))
  }
  const tag = Buffer.concat(frames)
  // Side information and main data of zeroes are silence.
  const silence = Buffer.concat([u8(0xff, 0xfb, 0x94, 0x00), Buffer.alloc(MP3_FRAME - 4)])
  const count = Math.ceil(playingTime(options, 16_000) * 48_000 / 1_152)
  return Buffer.concat([ascii('ID3'), u8(4, 0, 0), syncsafe(tag.length), tag, Buffer.alloc(count * MP3_FRAME, silence)])
}

const FLAC_RATE = 44_100
const FLAC_BLOCK = 4_096

/** Vorbis comments as FLAC and Opus hold them. */
function vorbisComments (options: SampleOptions): Buffer {
  const text = (value: string) => Buffer.concat([u32le(Buffer.byteLength(value)), Buffer.from(value)])
  const comments = tagsOf(options, ['TITLE', 'ARTIST', 'ALBUM', 'TRACKNUMBER', 'DATE', 'GENRE']).map(([name, value]) => text(`${name}=${value}`))
  return Buffer.concat([text('sample-audio'), u32le(comments.length), ...comments])
}

/** FLAC, 16 bit mono at 44,100 Hz: silence in constant subframes, or in verbatim ones where `minBytes` is given. */
export function flac (options: SampleOptions = {}): Buffer {
  const samples = Math.round(playingTime(options, 2 * FLAC_RATE) * FLAC_RATE)
  const verbatim = options.minBytes !== undefined
  const frames: Buffer[] = []
  for (let done = 0; done < samples; done += FLAC_BLOCK) {
    frames.push(flacFrame(frames.length, Math.min(FLAC_BLOCK, samples - done), verbatim))
  }
  const block = (type: number, body: Buffer) => Buffer.concat([u32be(type * 2 ** 24 + body.length), body])
  // 20 bits rate, 3 bits channels - 1, 5 bits sample size - 1, 36 bits samples
  const packed = Buffer.alloc(8)
  packed.writeBigUInt64BE((BigInt(FLAC_RATE) << 44n) | (15n << 36n) | BigInt(samples))
  const md5 = createHash('md5').update(Buffer.alloc(2 * samples)).digest()
  const streamInfo = Buffer.concat([u16be(FLAC_BLOCK), u16be(FLAC_BLOCK), Buffer.alloc(6), packed, md5])
  return Buffer.concat([ascii('fLaC'), block(0, streamInfo), block(0x84, vorbisComments(options)), ...frames])
}

function flacFrame (number: number, samples: number, verbatim: boolean): Buffer {
  const isShort = samples !== FLAC_BLOCK
  const header = Buffer.concat([u8(0xff, 0xf8, isShort ? 0x79 : 0xc9, 0x08), flacNumber(number), isShort ? u16be(samples - 1) : u8()])
  const subframe = verbatim ? Buffer.concat([u8(0x02), Buffer.alloc(2 * samples)]) : u8(0, 0, 0)
  const frame = Buffer.concat([header, u8(crc8(header)), subframe])
  return Buffer.concat([frame, u16be(crc16(frame))])
}

/** Frame numbers are coded like UTF-8, surrogates included, which is why no text encoder does it. */
function flacNumber (value: number): Buffer {
  if (value < 0x80) return u8(value)
  if (value < 0x800) return u8(0xc0 | (value >> 6), 0x80 | (value & 0x3f))
  if (value < 0x10000) return u8(0xe0 | (value >> 12), 0x80 | ((value >> 6) & 0x3f), 0x80 | (value & 0x3f))
  throw new RangeError('A sample FLAC file has at most 65,536 frames')
}

const AAC_RATE = 44_100
const AAC_SAMPLES = 1_024
// ISO/IEC 14496-3: an empty single channel element (29 zero bits), then the end element (111) …
const AAC_SILENCE = u8(0, 0, 0, 0x07)
// … or before that a fill element (110) of 15 + 255 - 1 bytes.
const AAC_FILLED = Buffer.concat([u8(0, 0, 0, 0x06, 0xff, 0xf0), Buffer.alloc(268), u8(0x0e)])

export interface SampleMp4Options extends SampleOptions {
  /** Puts the index behind the audio, as most recorders do. */
  moovAtEnd?: boolean
  /** What the file says that it is, in four characters. Default `M4A `. */
  brand?: string
  /** Adds a track of pictures, without any. */
  hasVideo?: boolean
}

/** M4A: AAC-LC, mono at 44,100 Hz, silence, with iTunes tags. */
export function m4a (options: SampleMp4Options = {}): Buffer {
  const sample = options.minBytes === undefined ? AAC_SILENCE : AAC_FILLED
  const count = Math.ceil(playingTime(options, Math.floor(sample.length * AAC_RATE / AAC_SAMPLES)) * AAC_RATE / AAC_SAMPLES)
  const ftyp = box('ftyp', ascii(`${options.brand ?? 'M4A '}\0\0\0\0M4A mp42isom`))
  const mdat = box('mdat', Buffer.alloc(count * sample.length, sample))
  const moov = (offset: number) => m4aIndex(options, count, sample.length, offset)
  if (options.moovAtEnd === true) return Buffer.concat([ftyp, mdat, moov(ftyp.length + 8)])
  return Buffer.concat([ftyp, moov(ftyp.length + moov(0).length + 8), mdat])
}

function box (type: string, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content)
  return Buffer.concat([u32be(body.length + 8), ascii(type), body])
}

function m4aIndex (options: SampleMp4Options, samples: number, sampleBytes: number, offset: number): Buffer {
  const full = (type: string, ...content: Buffer[]) => box(type, u32be(0), ...content)
  const duration = samples * AAC_SAMPLES
  const matrix = Buffer.concat([0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000].map(u32be))
  const descriptor = (tag: number, ...content: Buffer[]) => {
    const body = Buffer.concat(content)
    return Buffer.concat([u8(tag, body.length), body])
  }
  const decoder = descriptor(4, u8(0x40, 0x15, 0, 0, 0), u32be(0), u32be(0), descriptor(5, u8(0x12, 0x08))) // AAC-LC, 44,100 Hz, mono
  const esds = full('esds', descriptor(3, u16be(1), u8(0), decoder, descriptor(6, u8(2))))
  const mp4a = box('mp4a', Buffer.alloc(6), u16be(1), Buffer.alloc(8), u16be(1), u16be(16), u32be(0), u32be(AAC_RATE * 65_536), esds)
  const stbl = box('stbl',
    full('stsd', u32be(1), mp4a),
    full('stts', u32be(1), u32be(samples), u32be(AAC_SAMPLES)),
    full('stsc', u32be(1), u32be(1), u32be(samples), u32be(1)),
    full('stsz', u32be(sampleBytes), u32be(samples)),
    full('stco', u32be(1), u32be(offset)))
  const dinf = box('dinf', full('dref', u32be(1), box('url ', u32be(1))))
  const mdia = box('mdia',
    full('mdhd', u32be(0), u32be(0), u32be(AAC_RATE), u32be(duration), u16be(0x55c4), u16be(0)),
    full('hdlr', u32be(0), ascii('soun'), Buffer.alloc(12), ascii('Sound\0')),
    box('minf', full('smhd', u32be(0)), dinf, stbl))
  const tkhd = box('tkhd', u32be(7), u32be(0), u32be(0), u32be(1), u32be(0), u32be(duration), Buffer.alloc(12), u16be(0x0100), u16be(0), matrix, Buffer.alloc(8))
  const mvhd = full('mvhd', u32be(0), u32be(0), u32be(AAC_RATE), u32be(duration), u32be(0x10000), u16be(0x0100), Buffer.alloc(10), matrix, Buffer.alloc(24), u32be(2))
  const items = tagsOf(options, ['\xa9nam', '\xa9ART', '\xa9alb', 'trkn', '\xa9day', '\xa9gen']).map(([name, value]) => name === 'trkn'
    ? box(name, box('data', u32be(0), u32be(0), u16be(0), u16be(Number(value)), u32be(0)))
    : box(name, box('data', u32be(1), u32be(0), Buffer.from(value))))
  const meta = full('meta', full('hdlr', u32be(0), ascii('mdirappl'), Buffer.alloc(9)), box('ilst', ...items))
  const trak = box('trak', tkhd, mdia)
  const pictures = Buffer.from(options.hasVideo === true ? trak : '')
  if (pictures.length > 0) pictures.write('vide', pictures.indexOf('soun'))
  return box('moov', mvhd, trak, pictures, box('udta', meta))
}

const OPUS_PRE_SKIP = 312
const OPUS_PACKET_SAMPLES = 960 // 20 ms
const OPUS_SILENCE = u8(0xf8, 0xff, 0xfe) // CELT, full band, 20 ms, mono
const OPUS_PADDED = Buffer.concat([u8(0xfb, 0x41, 200, 0xff, 0xfe), Buffer.alloc(200)]) // the same with 200 bytes of padding
const PACKETS_PER_PAGE = 50

/** Ogg Opus, mono at 48 kHz: silence, padded where `minBytes` is given. */
export function ogg (options: SampleOptions = {}): Buffer {
  const packet = options.minBytes === undefined ? OPUS_SILENCE : OPUS_PADDED
  const end = OPUS_PRE_SKIP + Math.round(playingTime(options, 50 * packet.length) * 48_000)
  const packets = Math.ceil(end / OPUS_PACKET_SAMPLES)
  const head = Buffer.concat([ascii('OpusHead'), u8(1, 1), u16le(OPUS_PRE_SKIP), u32le(48_000), u16le(0), u8(0)])
  const pages = [oggPage([head], 0, 0, 2), oggPage([Buffer.concat([ascii('OpusTags'), vorbisComments(options)])], 1, 0, 0)]
  for (let done = 0; done < packets;) {
    const count = Math.min(PACKETS_PER_PAGE, packets - done)
    done += count
    const granule = Math.min(end, done * OPUS_PACKET_SAMPLES)
    pages.push(oggPage(Array.from({ length: count }, () => packet), pages.length, granule, done === packets ? 4 : 0))
  }
  return Buffer.concat(pages)
}

/** One page that holds whole packets, RFC 3533 section 6. */
function oggPage (packets: readonly Buffer[], number: number, granule: number, flags: number): Buffer {
  const lacing = packets.flatMap(({ length }) => [...Array<number>(Math.floor(length / 255)).fill(255), length % 255])
  if (lacing.length > 255) throw new RangeError('The tags of a sample Ogg file must fit one page')
  const position = Buffer.alloc(8)
  position.writeBigInt64LE(BigInt(granule))
  const page = Buffer.concat([ascii('OggS'), u8(0, flags), position, u32le(0x5a3e), u32le(number), u32le(0), u8(lacing.length, ...lacing), ...packets])
  page.writeUInt32LE(oggCrc(page), 22)
  return page
}
