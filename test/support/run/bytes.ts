import { createHash, randomBytes } from 'node:crypto'

export function sha256 (bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Random bytes, without a known type. */
export function bytes (size: number): Buffer {
  return randomBytes(size)
}
