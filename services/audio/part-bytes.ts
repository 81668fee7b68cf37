/** Bytes in all parts together. */
export function partsLength (parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0)
}

/** A copy of the bytes from `start` to `end` of consecutive parts; shorter if they end earlier. */
export function copyOut (parts: readonly Uint8Array[], start: number, end: number): Buffer {
  return Buffer.concat(dropBefore(parts, start, end))
}

/** Views of the bytes from `start` to `end` of consecutive parts. Copies nothing. */
export function dropBefore (parts: readonly Uint8Array[], start: number, end = Infinity): Uint8Array[] {
  const views: Uint8Array[] = []
  let offset = 0
  for (const part of parts) {
    const [from, to] = [Math.max(0, start - offset), Math.min(part.length, end - offset)]
    if (from < to) views.push(part.subarray(from, to))
    offset += part.length
  }
  return views
}
