import { copyOut, dropBefore, partsLength } from './part-bytes.ts'

const TAG_HEADER = 10
const MAX_TAGS = 16
const SMALL_TAG = 16_384 // 16 KiB: read as it is
const MAX_FRAMES = 500
const MAX_TEXT_FRAME = 8_192 // 8 KiB
const MAX_KEPT = 65_536 // 64 KiB
const MAX_PADDING = 1_048_576 // 1 MiB

/** A file without the bulk of its ID3v2 tag. */
export interface TrimmedFile {
  parts: readonly Uint8Array[]
  /** Bytes that went, to be taken off the file's size. */
  removed: number
}

/**
 * Puts a small ID3v2 tag with the text frames alone in the place of a large one at the beginning of a file. Cover art makes tags of many
 * megabytes, and parsers read a tag as one piece and frame by frame: one made of a million tiny frames holds them for seconds.
 * Nothing is copied but the text frames. Zeros behind the tag go, too. A tag with an extended header or of an unknown version goes altogether.
 */
export function trimId3 (parts: readonly Uint8Array[]): TrimmedFile {
  const header = copyOut(parts, 0, TAG_HEADER)
  if (header.length < TAG_HEADER || header.toString('latin1', 0, 3) !== 'ID3') return { parts, removed: 0 }
  const size = syncsafe(header, 6)
  const end = TAG_HEADER + size
  const hasFooter = copyOut(parts, end, end + 3).toString('latin1') === '3DI'
  const { rest, padding } = withoutPadding(dropBefore(parts, end + (hasFooter ? TAG_HEADER : 0)))
  if (size <= SMALL_TAG && padding === 0) return { parts, removed: 0 }

  const kept = size <= SMALL_TAG ? [copyOut(parts, TAG_HEADER, end)] : textFrames(parts, header, end)
  const keptBytes = partsLength(kept)
  for (let index = 0; index < 4; index++) header[6 + index] = (keptBytes >> (7 * (3 - index))) & 0x7f
  // Its frames are unsynchronised as they were; an extended header goes with a large tag alone, a footer always.
  header[5] = (header[5] ?? 0) & (size <= SMALL_TAG ? 0xef : 0x80)
  return {
    parts: [header, ...kept, ...rest],
    removed: size - keptBytes + padding + (hasFooter ? TAG_HEADER : 0),
  }
}

/** Parsers look for a file right behind its tag. */
function withoutPadding (parts: readonly Uint8Array[]): { rest: Uint8Array[], padding: number } {
  let padding = 0
  for (const part of parts) {
    const end = part.subarray(0, MAX_PADDING - padding).findIndex(byte => byte !== 0)
    padding += end === -1 ? Math.min(part.length, MAX_PADDING - padding) : end
    if (end !== -1 || padding === MAX_PADDING) break
  }
  return { rest: dropBefore(parts, padding), padding }
}

function textFrames (parts: readonly Uint8Array[], tag: Buffer, end: number): Buffer[] {
  const version = tag[3]
  const hasExtendedHeader = ((tag[5] ?? 0) & 0x40) !== 0
  if (hasExtendedHeader || version === undefined || version < 2 || version > 4) return []

  const frames: Buffer[] = []
  const headerLength = version === 2 ? 6 : 10
  let kept = 0
  let position = TAG_HEADER
  for (let count = 0; count < MAX_FRAMES; count++) {
    const header = copyOut(parts, position, Math.min(end, position + headerLength))
    if (header.length < headerLength || header[0] === 0) break // the end, or padding
    const next = position + headerLength + frameSize(header, version)
    const length = next - position
    if (header[0] === 0x54 /* T: a text frame */ && length <= MAX_TEXT_FRAME && kept + length <= MAX_KEPT && next <= end) {
      const frame = copyOut(parts, position, next)
      if (frame.length < length) break
      frames.push(frame)
      kept += length
    }
    position = next
  }
  return frames
}

function frameSize (header: Buffer, version: number): number {
  if (version === 2) return header.readUIntBE(3, 3)
  return version === 3 ? header.readUInt32BE(4) : syncsafe(header, 4)
}

/** ID3v2.4 section 6.2: 28 bits, seven in each byte. */
function syncsafe (bytes: Buffer, offset: number): number {
  return bytes.subarray(offset, offset + 4).reduce((value, byte) => (value << 7) | (byte & 0x7f), 0)
}

/** Where what has tags and zeros before it begins. */
export function audioStart (head: Uint8Array, tags: number): number {
  let start = Math.min(tags, head.length)
  while (head[start] === 0) start++
  return start
}

/** Where the ID3v2 tags at the beginning of a file end, which may be behind its head; 0, if it has none. */
export function tagsEnd (head: Uint8Array): number {
  let end = 0
  for (let count = 0; count < MAX_TAGS; count++) {
    const size = tagSize(head.subarray(end, end + TAG_HEADER))
    if (size === undefined) break
    end += size
  }
  return end
}

/** The size of an ID3v2 tag, with its header and footer; undefined if it is none (https://id3.org/id3v2.4.0-structure, 3.1). */
function tagSize (header: Uint8Array): number | undefined {
  const [i, d, three, version = 0, , flags = 0] = header
  const size = [...header.subarray(6, TAG_HEADER)]
  if (i !== 0x49 || d !== 0x44 || three !== 0x33 || version < 2 || version > 4 || size.length < 4 || size.some(byte => byte > 0x7f)) return undefined
  const hasFooter = version === 4 && (flags & 0x10) !== 0
  return TAG_HEADER + size.reduce((sum, byte) => sum * 128 + byte, 0) + (hasFooter ? TAG_HEADER : 0)
}
