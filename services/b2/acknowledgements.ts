import type { UploadClient } from './upload-client.ts'
import type { Settings } from '../config/options.ts'

const MOST_LOOKS = 20
const LONGEST_LOOK_MS = 1_000

/**
 * Fails an upload if B2 acknowledges nothing for `ackTimeoutMs` once the client has sent everything, B2 has bytes to take, and
 * the file can still fall back.
 */
export function watchAcknowledgements (
  own: UploadClient, { ackTimeoutMs, stallTimeoutMs }: Pick<Settings<'b2'>, 'ackTimeoutMs' | 'stallTimeoutMs'>, mayFallBack: () => boolean
): { allCame (): void, acknowledged (): void, stop (): void } {
  let last = Infinity
  let timer: NodeJS.Timeout | undefined
  let isOver = false
  own.movement.givesUpAt(() => ackTimeoutMs > 0 && mayFallBack() ? last + ackTimeoutMs : Infinity)
  const look = (): void => {
    const now = performance.now()
    if (own.inFlight === 0) last = now
    const timeLeft = own.movement.deadline - now
    // Soon enough to see what moves in the end.
    if (timeLeft > 0) {
      if (timeLeft < ackTimeoutMs * 3 / 4) own.movement.look().catch(() => {})
      return
    }
    const isMoving = own.movement.within(Math.min(stallTimeoutMs, ackTimeoutMs / 2))
    own.fail(Object.assign(new Error(`B2 acknowledged nothing for ${ackTimeoutMs} milliseconds.`), { code: isMoving ? 'B2_SLOW' : 'B2_NO_ACKNOWLEDGEMENT' }))
  }
  return {
    allCame () {
      last = performance.now()
      if (ackTimeoutMs > 0 && !isOver) timer = setInterval(look, Math.min(LONGEST_LOOK_MS, ackTimeoutMs / MOST_LOOKS))
    },
    acknowledged () { if (last < Infinity) last = performance.now() },
    stop () {
      isOver = true
      clearInterval(timer)
    },
  }
}
