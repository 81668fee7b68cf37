import { isKey } from '../../keys.ts'
import { describeFailure } from '../error-codes.ts'
import type { Remover, UnfinishedUpload } from './remover.ts'
import type { Log } from '../../log.ts'

const INTERVAL_MS = 3_600_000 // an hour: listing costs

export interface UnfinishedSweepOptions {
  readonly remover: Remover
  /** Aborts the requests of `remover`. */
  readonly signal: AbortSignal
  /** Whether local storage has a file or receipt for `key`, whose upload it may be. */
  isWanted (key: string): Promise<boolean>
  readonly log: Log | undefined
}

/** Aborts multipart uploads of this service that no client and no process continues. */
export class UnfinishedSweep {
  readonly #options: UnfinishedSweepOptions
  #running: Promise<void> | undefined
  #next = -Infinity
  #isTold = false

  constructor (options: UnfinishedSweepOptions) {
    this.#options = options
  }

  /** The sweep that is under way. */
  get running (): Promise<void> | undefined { return this.#running }

  /** Sweeps, unless the last sweep is too recent. Never rejects. */
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
      if (count > 0) this.#options.log?.info({ event: 'b2.swept', count }, 'abandoned multipart uploads were removed from B2')
    } catch (error) {
      if (!this.#options.signal.aborted) this.#tell(error)
    }
  }

  async #abortAll (prefix: string, olderThanMs: number): Promise<number> {
    let count = 0
    for await (const upload of this.#options.remover.unfinishedUploads(prefix)) {
      if (!isKey(prefix, upload.key) || !await this.#isOld(upload, olderThanMs)) continue
      // Checked last: the file may have come to local storage meanwhile.
      if (await this.#mayBeWanted(upload.key)) continue
      await this.#options.remover.abort(upload)
      count++
    }
    return count
  }

  async #isOld (upload: UnfinishedUpload, olderThanMs: number): Promise<boolean> {
    const limit = Date.now() - olderThanMs
    if (upload.initiatedAt === undefined || upload.initiatedAt > limit || await this.#mayBeWanted(upload.key)) return false
    // A slow client's upload may take longer than that, but none of its parts does.
    return (await this.#options.remover.lastPartAt(upload) ?? 0) <= limit
  }

  /** If this can't be told, a later sweep decides. */
  async #mayBeWanted (key: string): Promise<boolean> {
    return await this.#options.isWanted(key).catch(() => true)
  }

  #tell (error: unknown): void {
    const { error_code, detail } = describeFailure(error)
    if (error_code === 'access_denied') {
      this.#next = Infinity
      this.#options.log?.info({ event: 'b2.sweep_refused', error_code, detail },
        'the B2 key may not look for unfinished uploads; the bucket\'s lifecycle rule removes them')
    } else if (!this.#isTold) {
      this.#isTold = true
      this.#options.log?.warn({ event: 'b2.sweep_failed', error_code, detail }, 'B2 could not be searched for unfinished uploads yet')
    }
  }
}
