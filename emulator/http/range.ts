/** Both ends are inclusive, as in the header. */
export interface ByteRange {
  first: number
  last: number
}

/** A single byte range of RFC 9110; undefined if there is none to honour: no header, several ranges, another unit. */
export function parseRange (header: string | undefined, size: number): ByteRange | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '')
  if (match === null) return undefined
  const [, from = '', to = ''] = match
  if (from === '' && to === '') return undefined
  if (from === '') {
    const length = Math.min(Number(to), size)
    return length === 0 ? 'unsatisfiable' : { first: size - length, last: size - 1 }
  }
  if (to !== '' && Number(to) < Number(from)) return undefined
  if (Number(from) >= size) return 'unsatisfiable'
  return { first: Number(from), last: to === '' ? size - 1 : Math.min(Number(to), size - 1) }
}

/** The bytes from `start` up to but not including `end`, without copying. */
export function sliceChunks (chunks: readonly Buffer[], start: number, end: number): Buffer[] {
  const slices: Buffer[] = []
  let offset = 0
  for (const chunk of chunks) {
    const from = Math.max(start - offset, 0)
    const to = Math.min(end - offset, chunk.length)
    if (from < to) slices.push(chunk.subarray(from, to))
    offset += chunk.length
  }
  return slices
}
