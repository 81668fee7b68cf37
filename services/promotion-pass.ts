import type { PendingFile } from './local-store.ts'
import type { Log } from './log.ts'
import type { Observer } from './observer.ts'
import { PromotedFile } from './promotion-file.ts'
import { outcomeOf } from './promotion-outcome.ts'
import type { PromotionFailed, PromotionOutcome } from './promotion-outcome.ts'
import type { PromotionQueue } from './promotion-queue.ts'
import type { PromoteOptions, PromotionProgress, PromotionReport } from './promotion-report.ts'
import type { PromotionStores } from './promotion-upload.ts'
import type { Receipt } from './track.ts'

/** What a pass works with. */
export interface PassTools {
  readonly stores: PromotionStores
  readonly queue: PromotionQueue
  readonly log: Log
  readonly observer: Observer | undefined
  /** Called with the new receipt before the local file goes. */
  readonly onPromoted: ((receipt: Receipt) => unknown) | undefined
  /** Called when a file is no longer pending. */
  onGone (key: string): void
}

type Outcome = PromotionOutcome | { readonly kind: 'pending' }

/** Takes files to B2, one after the other. */
export class PromotionPass {
  readonly #tools: PassTools
  readonly #options: PromoteOptions
  readonly #report: PromotionReport = { promoted: 0, failed: 0, set_aside: 0, skipped: 0, pending: 0, bytes: 0 }
  #current: PromotedFile | undefined
  #isStopped = false

  constructor (tools: PassTools, options: PromoteOptions) {
    this.#tools = tools
    this.#options = options
  }

  /** Ends it at the next safe point. */
  stop (): void {
    this.#isStopped = true
    this.#current?.stop()
  }

  /** Ends it now. */
  cut (): void {
    this.#isStopped = true
    this.#current?.cut()
  }

  /** Ends what is under way with `key`; resolves when that can't write to B2 any more. */
  async release (key: string): Promise<void> {
    if (this.#current?.key === key) await this.#current.release()
  }

  /** The report says all but how many are pending. */
  async run (files: readonly PendingFile[]): Promise<PromotionReport> {
    const { signal } = this.#options
    const stop = (): void => this.stop()
    signal?.addEventListener('abort', stop)
    if (signal?.aborted === true) stop()
    try {
      for (const [index, file] of files.entries()) {
        if (this.#isStopped || !await this.#take(file, index, files.length)) break
      }
      return this.#report
    } finally {
      signal?.removeEventListener('abort', stop)
    }
  }

  /** False where the pass ends with this file. */
  async #take ({ key, setAside }: PendingFile, done: number, total: number): Promise<boolean> {
    const { onProgress, retrySetAside = false } = this.#options
    let bytes = 0
    const tell = (progress: Partial<PromotionProgress>): void => onProgress?.({ total, done, key, bytes, size_bytes: file.size, ...progress })
    const file = new PromotedFile(this.#tools.stores, {
      key,
      takeUp: retrySetAside,
      onPromoted: this.#tools.onPromoted,
      log: this.#tools.log,
      onBytes: moved => {
        bytes = moved
        tell({})
      },
    })
    const started = performance.now()
    const outcome = await this.#try(file, setAside)
    if (outcome.kind === 'blocked') return false
    if (outcome.kind === 'stopped') return true // by whoever removes this file, or the pass is stopped, too
    if (outcome.kind === 'promoted') bytes = file.size
    this.#count(file, outcome)
    this.#tell(file, outcome, Math.round(performance.now() - started))
    tell({ done: done + 1, ...progressOf(outcome) })
    return !(outcome.kind === 'failed' && outcome.fault === 'b2')
  }

  async #try (file: PromotedFile, setAside: string | undefined): Promise<Outcome> {
    const { dryRun = false, retrySetAside = false } = this.#options
    const { queue } = this.#tools
    if (setAside !== undefined && !retrySetAside) return { kind: 'set_aside', detail: setAside }
    if (dryRun) return await file.exists().then(exists => ({ kind: exists ? 'pending' : 'gone' }), outcomeOf)
    if (retrySetAside) queue.forgive(file.key)
    if (queue.isLeftOut(file.key)) return { kind: 'skipped', detail: 'It failed lately' }
    this.#current = file
    const outcome = await file.run()
    this.#current = undefined
    if (outcome.kind === 'failed') return await this.#failed(file.key, outcome)
    if (outcome.kind === 'promoted' || outcome.kind === 'gone') queue.forgive(file.key)
    return outcome
  }

  async #failed (key: string, outcome: PromotionFailed): Promise<PromotionOutcome> {
    const { queue, stores } = this.#tools
    const { fault, error_code, detail, more = {} } = outcome
    if (fault === 'b2') queue.failedByB2(key)
    if (fault !== 'file' || !queue.failed(key)) return outcome
    try {
      await stores.local.setAside(key, detail)
      return { kind: 'set_aside', error_code, detail, more }
    } catch (error) {
      return outcomeOf(error)
    }
  }

  #count ({ key, size }: PromotedFile, { kind }: Outcome): void {
    const report = this.#report
    if (kind === 'promoted' || kind === 'failed' || kind === 'set_aside' || kind === 'skipped') report[kind]++
    if (kind === 'promoted' || kind === 'pending') report.bytes += size
    if (kind === 'promoted' || kind === 'gone') this.#tools.onGone(key)
  }

  #tell ({ key, size, context }: PromotedFile, outcome: Outcome, duration: number): void {
    const { observer } = this.#tools
    const log = context?.log ?? this.#tools.log
    const line = { key, duration_ms: duration, size_bytes: size }
    if (outcome.kind === 'promoted') {
      log.info({ event: 'promotion.done', ...line }, 'a file that had fallen back to local storage is in B2')
      observer?.promotionEnded('promoted')
    } else if (outcome.kind === 'failed') {
      const { fault, error_code, detail, more } = outcome
      if (fault === 'host') log.error({ event: 'hook.failed', hook: 'onPromoted', key, ...more }, 'the host\'s onPromoted failed; it is called again')
      log.warn({ event: 'promotion.failed', ...line, error_code, detail, ...(fault === 'host' ? {} : more) }, 'a file stays in local storage for now')
      observer?.promotionEnded('failed')
    } else if (outcome.kind === 'set_aside' && outcome.error_code !== undefined) {
      const { error_code, detail, more } = outcome
      log.error({ event: 'promotion.failed', set_aside: true, ...line, error_code, detail, ...more },
        'a file stays in local storage until somebody has looked at it: it is not tried again by itself')
      observer?.promotionEnded('set_aside')
    }
  }
}

function progressOf (outcome: Outcome): Pick<PromotionProgress, 'outcome' | 'error_code' | 'detail'> {
  switch (outcome.kind) {
    case 'failed': return { outcome: 'failed', error_code: outcome.error_code, detail: outcome.detail }
    case 'set_aside': return { outcome: 'set_aside', detail: outcome.detail, ...(outcome.error_code === undefined ? {} : { error_code: outcome.error_code }) }
    case 'skipped': return { outcome: 'skipped', detail: outcome.detail }
    case 'promoted': return { outcome: 'promoted' }
    case 'pending': return { outcome: 'pending' }
    default: return { outcome: 'skipped', detail: 'It was removed meanwhile' }
  }
}
