import type { Socket } from 'node:net'
import { handedOver, unacknowledgedBytes } from '../line/send-queues.ts'

// Less than this does not count as movement.
const TRICKLE_BYTES = 16_384 // 16 KiB a period
const LOOKS_PER_PERIOD = 4

/**
 * Calls `onStall` if less than 16 KiB move over `socket`, in both directions together, within `periodMs` milliseconds. A slow
 * connection is not a stalled one. Returns the function that stops the watch.
 *
 * It counts checks rather than time, so that a busy process does not take its own pause for B2's. `isAlive`, called at each check,
 * tells of other signs of life, which count like movement.
 */
export function watchForStall (socket: Socket, periodMs: number, onStall: () => void, isAlive: () => boolean = () => false): () => void {
  let seen = moved(socket)
  let queued: number | undefined
  let quietLooks = 0
  let ended = false

  async function look (): Promise<void> {
    const now = moved(socket)
    let progress = now - seen >= TRICKLE_BYTES || isAlive()
    if (progress) {
      queued = undefined
    } else {
      // What the kernel holds may still be on its way.
      const left = await unacknowledgedBytes(socket)
      progress = queued !== undefined && left !== undefined && queued - left >= TRICKLE_BYTES
      if (progress || queued === undefined) queued = left
    }
    if (progress) seen = now
    quietLooks = progress ? 0 : quietLooks + 1
    if (quietLooks < LOOKS_PER_PERIOD || ended) return
    end()
    onStall()
  }

  const timer = setInterval(() => { look().catch(onStall) }, periodMs / LOOKS_PER_PERIOD)
  function end (): void {
    ended = true
    clearInterval(timer)
  }
  return end
}

/** Bytes read, and bytes that the kernel has taken. */
function moved (socket: Socket): number {
  return socket.bytesRead + handedOver(socket)
}
