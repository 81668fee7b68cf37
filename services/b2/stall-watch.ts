import type { Socket } from 'node:net'

// Below this a connection only pretends to move.
const TRICKLE_BYTES = 16_384 // 16 KiB a period
const LOOKS_PER_PERIOD = 4

/**
 * Calls `onStall` once less than 16 KiB moved over `socket`, both directions together, within `periodMs` milliseconds.
 * A slow connection is not a stalled one. Returns the function that ends the watch.
 */
export function watchForStall (socket: Socket, periodMs: number, onStall: () => void): () => void {
  const seen = [moved(socket)]
  const timer = setInterval(() => {
    const now = moved(socket)
    seen.push(now)
    if (seen.length <= LOOKS_PER_PERIOD) return
    if (now - seen.shift()! < TRICKLE_BYTES) {
      clearInterval(timer)
      onStall()
    }
  }, periodMs / LOOKS_PER_PERIOD)
  return () => clearInterval(timer)
}

interface WriteQueue { _handle?: { writeQueueSize?: number } | null }

/**
 * Bytes read and bytes that the kernel took. What was handed to the socket but is still queued has not moved; the size
 * of that queue is what net's own idle timer looks at, too. Without it whole slices count when they are handed over.
 */
function moved (socket: Socket): number {
  return socket.bytesRead + socket.bytesWritten - ((socket as unknown as WriteQueue)._handle?.writeQueueSize ?? 0)
}
