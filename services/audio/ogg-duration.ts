import { copyOut, partsLength } from './part-bytes.ts'

const PAGE_HEADER = 27
const MAX_PAGE = 65_307 // 27 + 255 + 255 * 255, RFC 3533 section 6
const NO_GRANULE = 0xffffffffffffffffn
const OPUS_RATE = 48_000

/**
 * The duration in seconds of a whole Ogg file with one Vorbis, Opus or Speex stream, out of its first and its last page: walking all pages
 * would cost far more. Undefined for other codecs, for chained files, and if the pages don't say.
 *
 * @param parts the whole file
 */
export function oggDuration (parts: readonly Uint8Array[]): number | undefined {
  const first = copyOut(parts, 0, PAGE_HEADER + 255 + 64)
  if (first.length < PAGE_HEADER + 1 || first.toString('latin1', 0, 4) !== 'OggS') return undefined
  const start = clock(first.subarray(PAGE_HEADER + (first[26] ?? 0)))
  const samples = lastGranule(parts, first.readUInt32LE(14))
  if (start === undefined || samples === undefined || start.rate === 0) return undefined
  const seconds = (samples - start.skip) / start.rate
  return seconds >= 0 ? seconds : undefined
}

function clock (packet: Buffer): { rate: number, skip: number } | undefined {
  // RFC 7845 5.1; Vorbis I 4.2.2; Speex manual, 7
  if (packet.length >= 12 && packet.toString('latin1', 0, 8) === 'OpusHead') return { rate: OPUS_RATE, skip: packet.readUInt16LE(10) }
  if (packet.length >= 16 && packet.toString('latin1', 0, 7) === '\x01vorbis') return { rate: packet.readUInt32LE(12), skip: 0 }
  if (packet.length >= 40 && packet.toString('latin1', 0, 8) === 'Speex   ') return { rate: packet.readUInt32LE(36), skip: 0 }
  return undefined
}

/** The position of the last page that ends a packet, in samples. */
function lastGranule (parts: readonly Uint8Array[], serial: number): number | undefined {
  const size = partsLength(parts)
  const tail = copyOut(parts, Math.max(0, size - 2 * MAX_PAGE), size)
  for (let at = tail.lastIndexOf('OggS'); at >= 0; at = at === 0 ? -1 : tail.lastIndexOf('OggS', at - 1)) {
    if (at + PAGE_HEADER > tail.length || tail[at + 4] !== 0) continue
    if (tail.readUInt32LE(at + 14) !== serial) return undefined
    const granule = tail.readBigUInt64LE(at + 6)
    if (granule !== NO_GRANULE) return Number(granule)
  }
  return undefined
}
