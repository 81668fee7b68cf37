const SMALLEST_BYTES = 65_536 // 64 KiB
const MIB = 1_048_576
const KEEP_IDLE_MS = 5_000

/** The size that a buffer for `bytes` bytes should have, so that others can use it too: a power of two from 64 KiB to 1 MiB, whole MiB above. */
export function bufferSize (bytes: number): number {
  if (bytes > MIB) return Math.ceil(bytes / MIB) * MIB
  let size = SMALLEST_BYTES
  while (size < bytes) size *= 2
  return size
}

/**
 * Keeps buffers for the next upload: memory that has been touched before is much cheaper than fresh pages. Holds at
 * most `limitBytes` together with what is lent out, and nothing once it was idle for five seconds.
 */
export class BufferPool {
  readonly #limitBytes: number
  readonly #free = new Map<number, Buffer[]>()
  #freeBytes = 0
  #lentBytes = 0
  #idleTimer: NodeJS.Timeout | undefined

  constructor (limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  /** A buffer of exactly `size` bytes, with any content; there should be few different sizes. */
  lend (size: number): Buffer {
    this.#lentBytes += size
    const kept = this.#free.get(size)?.pop()
    if (kept !== undefined) {
      this.#freeBytes -= size
      return kept
    }
    this.#shrinkTo(this.#limitBytes - this.#lentBytes)
    return Buffer.allocUnsafeSlow(size)
  }

  /** Takes a buffer back. One that somebody may still read (a socket, say) is dropped instead, with `reuse` false. */
  takeBack (buffer: Buffer, reuse = true): void {
    const size = buffer.byteLength
    this.#lentBytes -= size
    if (!reuse || this.#lentBytes + this.#freeBytes + size > this.#limitBytes) return
    const list = this.#free.get(size)
    if (list === undefined) this.#free.set(size, [buffer])
    else list.push(buffer)
    this.#freeBytes += size
    if (this.#idleTimer === undefined) {
      this.#idleTimer = setTimeout(() => this.clear(), KEEP_IDLE_MS)
      this.#idleTimer.unref()
    } else {
      this.#idleTimer.refresh()
    }
  }

  /** Lets go of no more than it must: what it drops stays in memory until the garbage collector comes. */
  #shrinkTo (bytes: number): void {
    for (const [size, buffers] of this.#free) {
      while (this.#freeBytes > bytes && buffers.pop() !== undefined) this.#freeBytes -= size
    }
  }

  /** Lets go of all that is not lent out. */
  clear (): void {
    this.#free.clear()
    this.#freeBytes = 0
    clearTimeout(this.#idleTimer)
    this.#idleTimer = undefined
  }
}
