import { mayBeOwnUpload } from '../../file-names.ts'
import { describeFailure } from '../error-codes.ts'
import type { LeftoverRemoval, UnfinishedUpload } from './leftover-removal.ts'
import type { Log } from '../../log.ts'

const INTERVAL_MS = 3_600_000 // an hour: listing costs

export interface UnfinishedSweepOptions {
  readonly removal: LeftoverRemoval
  /** Ends the requests of `removal`. */
  readonly signal: AbortSignal
  /** Whether there is a file or receipt for `key` here, whose upload it may be. */
  isWanted (key: string): Promise<boolean>
  readonly log: Log | undefined
}

/** Looks for multipart uploads of this service that nobody goes on with. */
export class UnfinishedSweep {
  readonly #removal: LeftoverRemoval
  readonly #signal: AbortSignal
  readonly #isWanted: (key: string) => Promise<boolean>
  readonly #log: Log | undefined
  #running: Promise<void> | undefined
  #next = -Infinity
  #isTold = false

  constructor ({ removal, signal, isWanted, log }: UnfinishedSweepOptions) {
    this.#removal = removal
    this.#signal = signal
    this.#isWanted = isWanted
    this.#log = log
  }

  /** The sweep that is under way. */
  get running (): Promise<void> | undefined { return this.#running }

  /** Sweeps, unless it is too early for that. Never rejects. */
  async run (prefix: string, olderThanMs: number): Promise<void> {
    if (performance.now() < this.#next) return
    this.#running ??= this.#sweep(prefix, olderThanMs).finally(() => { this.#running = undefined })
    await this.#running
  }

  async #sweep (prefix: string, olderThanMs: number): Promise<void> {
    try {
      const count = await this.#abortAll(prefix, olderThanMs)
      this.#next = performance.now() + INTERVAL_MS
      this.#isTold = false
      if (count > 0) this.#log?.info({ event: 'b2.swept', count }, 'multipart uploads that nobody went on with were removed from B2')
    } catch (error) {
      if (!this.#signal.aborted) this.#tell(error)
    }
  }

  async #abortAll (prefix: string, olderThanMs: number): Promise<number> {
    let count = 0
    for await (const upload of this.#removal.unfinishedUploads(prefix)) {
      if (!mayBeOwnUpload(prefix, upload.key) || !await this.#isOld(upload, olderThanMs)) continue
      // Asked last: the file may have come here meanwhile.
      if (await this.#mayBeWanted(upload.key)) continue
      await this.#removal.abort(upload)
      count++
    }
    return count
  }

  async #isOld (upload: UnfinishedUpload, olderThanMs: number): Promise<boolean> {
    const limit = Date.now() - olderThanMs
    if (upload.initiatedAt === undefined || upload.initiatedAt > limit || await this.#mayBeWanted(upload.key)) return false
    // A slow client's upload may well take longer than that, but each of its parts does not.
    return (await this.#removal.lastPartAt(upload) ?? 0) <= limit
  }

  /** What can't be told is left to a later sweep. */
  async #mayBeWanted (key: string): Promise<boolean> {
    return await this.#isWanted(key).catch(() => true)
  }

  #tell (error: unknown): void {
    const { error_code, detail } = describeFailure(error)
    if (error_code === 'access_denied') {
      this.#next = Infinity
      this.#log?.info({ event: 'b2.sweep_refused', error_code, detail },
        'the B2 key may not look for unfinished uploads; the bucket\'s lifecycle rule removes them')
    } else if (!this.#isTold) {
      this.#isTold = true
      this.#log?.warn({ event: 'b2.sweep_failed', error_code, detail }, 'B2 could not be searched for unfinished uploads yet')
    }
  }
}
