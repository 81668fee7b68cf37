/** What kinds of tracks a file has; undefined for what its beginning does not say. */
export interface Tracks {
  readonly audio: boolean
  readonly video: boolean
}

/**
 * The tracks of a file that holds sound or pictures, Matroska (WebM), MP4 (3GPP, QuickTime) or Ogg, as far as its beginning tells.
 * Undefined if it doesn't: the index of an MP4 file may be at its end.
 */
export function tracksOf (head: Uint8Array): Tracks | undefined {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength)
  const magic = bytes.toString('latin1', 0, 4)
  const kinds = magic === 'OggS' ? oggKinds(bytes) : magic === '\x1a\x45\xdf\xa3' ? matroskaKinds(bytes) : mp4Kinds(bytes)
  const [audio, video] = [kinds.includes('audio'), kinds.includes('video')]
  return audio || video ? { audio, video } : undefined
}

type Kind = 'audio' | 'video'

const MAX_ELEMENTS = 1_000
const MP4_FOLDERS = new Set(['moov', 'trak', 'mdia'])

/** The handlers of the tracks (ISO/IEC 14496-12 §8.4.3). */
function mp4Kinds (bytes: Buffer): Kind[] {
  const kinds: Kind[] = []
  let at = 0
  for (let count = 0; count < MAX_ELEMENTS && at + 16 <= bytes.byteLength; count++) {
    const size = bytes.readUInt32BE(at)
    const type = bytes.toString('latin1', at + 4, at + 8)
    if (MP4_FOLDERS.has(type)) {
      at += 8
      continue
    }
    if (type === 'hdlr') {
      const handler = bytes.toString('latin1', at + 16, at + 20)
      if (handler === 'soun') kinds.push('audio')
      if (handler === 'vide') kinds.push('video')
    }
    const length = size === 1 ? Number(bytes.readBigUInt64BE(at + 8)) : size
    if (length < 8) break // to the end of the file, or nonsense
    at += length
  }
  return kinds
}

const SEGMENT = 0x18538067
const TRACKS = 0x1654ae6b
const TRACK = 0xae
const TRACK_TYPE = 0x83
const CLUSTER = 0x1f43b675

/** The types of the tracks (RFC 9559 §5.1.4.1.3). */
function matroskaKinds (bytes: Buffer): Kind[] {
  const kinds: Kind[] = []
  let at = 0
  for (let count = 0; count < MAX_ELEMENTS; count++) {
    const id = vint(bytes, at, false)
    const size = id === undefined ? undefined : vint(bytes, at + id.length, true)
    if (id === undefined || size === undefined || id.value === CLUSTER) break
    at += id.length + size.length
    if (id.value === SEGMENT || id.value === TRACKS || id.value === TRACK) continue // what is in it comes next
    if (id.value === TRACK_TYPE && size.value === 1) {
      if (bytes[at] === 1) kinds.push('video')
      if (bytes[at] === 2) kinds.push('audio')
    }
    at += size.value
  }
  return kinds
}

/** A number whose length is in its first byte (RFC 8794 §4); with the bit that says so, if it is an id. */
function vint (bytes: Buffer, at: number, isSize: boolean): { readonly value: number, readonly length: number } | undefined {
  const first = bytes[at]
  if (first === undefined || first === 0) return undefined
  const length = Math.clz32(first) - 23
  if (at + length > bytes.byteLength) return undefined
  let value = isSize ? first & (0xff >> length) : first
  for (let index = 1; index < length; index++) value = value * 256 + bytes[at + index]!
  return { value, length }
}

const OGG_VIDEO = ['\x80theora', '\x01video\0', 'BBCD\0', '\x80daala', 'YUV4MPEG']
const OGG_AUDIO = ['OpusHead', '\x01vorbis', 'Speex  ', '\x7fFLAC', 'fLaC', 'CELT   ', 'PCM    ', '\x01audio\0']

/** By the first packet of each stream; all of them come before anything else (RFC 3533 §4). */
function oggKinds (bytes: Buffer): Kind[] {
  const kinds: Kind[] = []
  let at = 0
  for (let count = 0; count < MAX_ELEMENTS && bytes.toString('latin1', at, at + 4) === 'OggS' && at + 27 <= bytes.byteLength; count++) {
    const isFirst = (bytes[at + 5]! & 2) !== 0
    if (!isFirst) break
    const segments = bytes.subarray(at + 27, at + 27 + bytes[at + 26]!)
    const start = at + 27 + segments.byteLength
    const packet = bytes.toString('latin1', start, start + 8)
    if (OGG_VIDEO.some(name => packet.startsWith(name))) kinds.push('video')
    if (OGG_AUDIO.some(name => packet.startsWith(name))) kinds.push('audio')
    at = start + segments.reduce((sum, length) => sum + length, 0)
  }
  return kinds
}
