import type { Settings } from '../config/options.ts'
import type { DownloadResult, Observer } from '../observer.ts'
import { UploadError } from '../upload-errors.ts'

/** Bounds for those who read files over HTTP. */
export interface DownloadsOptions {
  /** Content requests at once; more are `overloaded`. Default 1000, at least 1. */
  readonly maxConcurrent?: number | undefined
  /** Milliseconds after which a reader that takes nothing is ended. Default 60,000, at least 100. */
  readonly idleTimeoutMs?: number | undefined
}

/** Content requests: how many may be under way, and how many are. */
export interface Downloads {
  readonly idleTimeoutMs: number
  readonly inFlight: number
  /** Takes a place, or throws `overloaded`. Whoever got one calls `end` once. */
  begin (): { end (): void }
  /** Counts how one ended. */
  ended (storage: 'b2' | 'local' | 'split' | 'none', result: DownloadResult): void
}

export function createDownloads ({ maxConcurrent, idleTimeoutMs }: Settings<'downloads'>, observer: Observer | undefined): Downloads {
  let inFlight = 0
  return {
    idleTimeoutMs,

    get inFlight () { return inFlight },

    begin () {
      if (inFlight >= maxConcurrent) {
        throw new UploadError('overloaded', `${maxConcurrent} downloads are under way already.`, {
          error: 'The service has too many downloads at once.',
          hints: ['Ask again after the time in Retry-After.'],
        })
      }
      inFlight++
      return { end () { inFlight-- } }
    },

    ended: (storage, result) => observer?.downloaded(storage, result),
  }
}
