import type { ByteRange } from '../../services/downloads/byte-range.ts'

const POSITION = /^\d{0,19}$/

/**
 * The bytes that a `Range` header asks for, as nginx reads it (with `max_ranges 1`): a single range, or the only one of several
 * that the file has, is honoured; undefined is the whole file, also for several ranges and for units other than bytes. A header
 * that can't be read is `unsatisfiable`, too, rather than ignored (RFC 9110 §14.2 allows both): a client could take the whole file
 * for the range.
 *
 * @param size bytes of the file
 */
export function rangeOf (header: string | undefined, size: number): ByteRange | 'unsatisfiable' | undefined {
  if (header === undefined || !/^bytes=./i.test(header)) return undefined
  let found: ByteRange | undefined
  for (const part of header.slice('bytes='.length).split(',')) {
    const [from, to, more] = part.split('-', 3).map(withoutSpaces)
    if (from === undefined || to === undefined || more !== undefined) return 'unsatisfiable'
    if (!POSITION.test(from) || !POSITION.test(to) || (from === '' && to === '')) return 'unsatisfiable'
    const first = from === '' ? Math.max(size - Number(to), 0) : Number(from)
    const last = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1)
    if (first === 0 && size === 0) return undefined // all of an empty file
    if (first > last) continue
    if (found !== undefined) return undefined
    found = { first, last }
  }
  return found ?? 'unsatisfiable'
}

/** In linear time, whatever a client sends. */
function withoutSpaces (text: string): string {
  let [start, end] = [0, text.length]
  while (text[start] === ' ') start++
  while (end > start && text[end - 1] === ' ') end--
  return text.slice(start, end)
}
