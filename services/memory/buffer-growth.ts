import { bufferSize } from './buffer-pool.ts'
import { LASTING_SECONDS, MAYBE_SMALL_BYTES } from './account.ts'
import { FIRST_BYTES, SMALL_BYTES } from './waiting.ts'

const WHOLE_AT_ONCE_BYTES = 131_072 // 128 KiB
const LARGEST_ROUNDING_BYTES = 1_048_576 // 1 MiB
/**
 * Most memory that an intake needs for a file of `bytes` bytes, all its parts held: every buffer is full but the last,
 * which is less than a MiB too large.
 */
export function mostMemory (bytes: number, partBytes: number): number {
  return bytes <= partBytes ? bufferSize(bytes) : bytes + LARGEST_ROUNDING_BYTES
}

/** A part that is being gathered, whose buffer is full. */
export interface FullBuffer {
  /** Where the part begins in the file. */
  readonly start: number
  /** Bytes in the buffer; 0 if there is none yet. */
  readonly length: number
  /** Bytes that have come and don't fit. */
  readonly more: number
  /** Most bytes of the part. */
  readonly limit: number
  /** Most bytes of the file; Infinity if that is not known. */
  readonly expectedBytes: number
  /** Bytes per second of the client; undefined while that is not known. */
  readonly rate: number | undefined
  /** Whether memory is short. */
  readonly isCrowded: boolean
}

/** The size of the next buffer of a part. */
export function nextBufferSize (full: FullBuffer): number {
  const bytes = nextBytes(full)
  const size = bufferSize(bytes)
  return bytes <= full.limit && size > full.limit ? full.limit : size
}

function nextBytes ({ start, length, more, limit, expectedBytes, rate, isCrowded }: FullBuffer): number {
  const isFirst = start === 0
  const isKnown = expectedBytes < Infinity
  if (isFirst && length === 0) return expectedBytes <= WHOLE_AT_ONCE_BYTES ? expectedBytes : FIRST_BYTES
  const largest = Math.min(limit, expectedBytes - start)
  const least = Math.max(length + more, FIRST_BYTES)
  // Who may turn out to be small is not given more than that.
  const mayBeSmall = isFirst && length < SMALL_BYTES && (!isKnown || (expectedBytes > SMALL_BYTES && expectedBytes <= MAYBE_SMALL_BYTES))
  const most = mayBeSmall ? Math.max(least, SMALL_BYTES) : largest
  // A slow client takes minutes to fill a whole part; its buffer grows with what comes. So does that of one who does not say how much will
  // come, but faster. While memory is short nobody gets a whole part for the first bytes; who has sent more before a rate could be told is fast.
  const isSlow = rate !== undefined && rate * LASTING_SECONDS < largest
  const isNew = rate === undefined && length <= FIRST_BYTES
  const growth = isSlow || (mayBeSmall && isCrowded) ? 2 : isFirst && !isKnown ? 8 : isFirst && isNew && isCrowded ? 4 : Infinity
  return Math.min(largest, most, Math.max(least, growth === Infinity ? largest : length * growth))
}
