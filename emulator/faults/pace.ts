const LONGEST_TIMER_MS = 2 ** 31 - 1
const UNPACED_SLICE_BYTES = 262_144 // 256 KiB

/** Waits `ms`, or until `released` aborts; resolves to false at once if `signal` aborts before that. */
export function wait (ms: number, signal: AbortSignal, released?: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false)
  if (released?.aborted === true) return Promise.resolve(true)
  return new Promise((resolve) => {
    const settle = (elapsed: boolean) => {
      clearTimeout(timer)
      signal.removeEventListener('abort', giveUp)
      released?.removeEventListener('abort', goOn)
      resolve(elapsed)
    }
    const giveUp = () => settle(false)
    const goOn = () => settle(true)
    const timer = setTimeout(() => settle(true), Math.min(ms, LONGEST_TIMER_MS))
    signal.addEventListener('abort', giveUp)
    released?.addEventListener('abort', goOn)
  })
}

/** Lets bytes pass at a rate that may change while they flow. */
export interface Pacer {
  /** How many bytes to move before the next `passed`: a tenth of a second's worth. */
  sliceBytes (): number
  /** Resolves when so many bytes were due; to false if the connection is gone. */
  passed (bytes: number): Promise<boolean>
}

/** When a line that connections share is free again. */
export interface Line { dueAt: number }

/** `rate` gives bytes per second, undefined for as fast as possible; `line` is this connection's own, or one that it shares. */
export function createPacer (rate: () => number | undefined, gone: AbortSignal, line: () => Line, released?: AbortSignal): Pacer {
  return {
    sliceBytes () {
      const perSecond = rate()
      return perSecond === undefined ? UNPACED_SLICE_BYTES : Math.max(1, Math.ceil(perSecond / 10))
    },
    async passed (bytes) {
      const perSecond = rate()
      if (perSecond === undefined) return !gone.aborted
      const now = Date.now()
      const shared = line()
      shared.dueAt = Math.max(shared.dueAt, now) + bytes / perSecond * 1000
      return await wait(shared.dueAt - now, gone, released)
    },
  }
}
