import { createHash, randomBytes } from 'node:crypto'

export function sha256 (bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Random bytes, without a known type: two random ones may begin a frame of an MP3, or a bitmap. No known type begins with 0 and another random byte. */
export function bytes (size: number): Buffer {
  const random = randomBytes(size)
  if (size > 1) random[0] = 0
  return random
}
