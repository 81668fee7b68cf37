const TAG_HEADER = 10
const MAX_TAGS = 16

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
