/** A part of a file. */
export interface ByteRange {
  /** Position of the first byte, from 0 on. */
  readonly first: number
  /** Position of the last byte, which is part of it. */
  readonly last: number
}

/** Bytes of a file of `size` bytes, or of a range of it. */
export function bytesOf (size: number, range: ByteRange | undefined): number {
  return range === undefined ? size : range.last - range.first + 1
}
