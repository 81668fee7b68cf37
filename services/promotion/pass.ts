import type { PendingFile } from '../local/store.ts'
import type { Log } from '../log.ts'
import type { Observer } from '../observer.ts'
import { PromotedFile } from './file.ts'
import { Places } from '../tasks/places.ts'
import { outcomeOf } from './outcome.ts'
import type { PromotionFailed, PromotionOutcome } from './outcome.ts'
import type { PromotionQueue } from './queue.ts'
import { logOutcome, NOTHING_DONE, progressOf } from './report.ts'
import type { PassOutcome, PromoteOptions, PromotionProgress, PromotionReport } from './report.ts'
import type { PromotionStores } from './upload.ts'
import type { Receipt } from '../receipt.ts'

/** What a pass needs. */
export interface PassTools {
  readonly stores: PromotionStores
  readonly queue: PromotionQueue
  readonly log: Log
  readonly observer: Observer | undefined
  /** Called with the new receipt before the local file is removed. */
  readonly onPromoted: ((receipt: Receipt) => unknown) | undefined
  /** Files at once. */
  readonly concurrency: number
}

/** Files of other processes that are remembered, to check them again at the end of the pass; more are left to those processes. */
const MOST_ELSEWHERE = 10_000

/** Claims of other processes that are watched at once: each takes seconds, but next to no work. */
const WATCHED_AT_ONCE = 32

/**
 * Promotes files, a few at once. Files that other processes have claimed are passed over, and checked again at the end: their
 * owner may have died.
 */
export class PromotionPass {
  readonly #tools: PassTools
  readonly #options: PromoteOptions
  readonly #report: PromotionReport = { ...NOTHING_DONE }
  readonly #places: Places
  readonly #underWay = new Set<PromotedFile>()
  readonly #elsewhere: PendingFile[] = []
  readonly #stop = new AbortController()
  readonly #abort = new AbortController()
  /** Whether no other file begins. */
  #isEnded = false
  /** Whether another process promotes files of this directory: then files vanish. */
  #hasCompany = false
  #done = 0
  #total = 0
  /** The file that tries B2 while the circuit is not closed; the others wait for its end, or until the circuit closes. */
  #probe: { readonly ended: Promise<void>, end (): void } | undefined

  constructor (tools: PassTools, options: PromoteOptions) {
    this.#tools = tools
    this.#options = options
    this.#places = new Places(tools.concurrency)
  }

  /** Stops at the next safe point. */
  stop (): void {
    this.#isEnded = true
    this.#stop.abort()
    for (const file of this.#underWay) file.stop()
  }

  /** Stops at once. */
  abort (): void {
    this.stop()
    this.#abort.abort()
    for (const file of this.#underWay) file.abort()
  }

  /** Lets all files go on, as the circuit has closed. */
  resume (): void {
    this.#probe?.end()
  }

  /** Stops the promotion of `key`; resolves when it writes nothing more to B2. */
  async stopWriting (key: string): Promise<void> {
    for (const file of this.#underWay) if (file.key === key) await file.stopWriting()
  }

  /** Reports all but how many are pending. @throws {LocalStoreError} */
  async run (): Promise<PromotionReport> {
    const { signal, dryRun = false } = this.#options
    const { queue, stores: { local } } = this.#tools
    const concurrency = dryRun ? 1 : this.#tools.concurrency // so that the oldest is named first
    const stop = (): void => this.stop()
    signal?.addEventListener('abort', stop)
    if (signal?.aborted === true) stop()
    try {
      const files = queue.begin(local.pending(this.#stop.signal))
      await this.#work(concurrency, async () => (await files.next()).value ?? undefined, false)
      await files.return(undefined)
      await this.#work(Math.max(concurrency, WATCHED_AT_ONCE), async () => this.#elsewhere.shift(), true)
      // Only a count tells what other processes have done.
      if (this.#hasCompany || (this.#total === 0 && this.#stop.signal.aborted)) await local.count(this.#abort.signal).catch(error => { if (!this.#abort.signal.aborted) throw error })
      return this.#report
    } finally {
      signal?.removeEventListener('abort', stop)
    }
  }

  /** Takes files until there is none, or the pass ends. */
  async #work (workers: number, next: () => Promise<PendingFile | undefined>, waitsForOwner: boolean): Promise<void> {
    const work = async (): Promise<void> => {
      while (!this.#isEnded) {
        const file = await next()
        if (file === undefined) return
        await this.#inTurn(() => this.#take(file, waitsForOwner))
      }
    }
    const ended = await Promise.allSettled(Array.from({ length: workers }, () => work().catch(error => {
      this.#isEnded = true
      if (error !== this.#stop.signal.reason) throw error
    })))
    for (const end of ended) if (end.status === 'rejected') throw end.reason
  }

  /** While the circuit is not closed, one file after the other tries B2: the first one is the probe. */
  async #inTurn (take: () => Promise<void>): Promise<void> {
    const { breaker } = this.#tools.stores
    while (this.#probe !== undefined && breaker.state !== 'closed') await this.#probe.ended
    if (this.#isEnded) return
    if (breaker.state === 'closed') return await take()
    let end = (): void => {}
    const ended = new Promise<void>(resolve => { end = resolve })
    const probe = this.#probe = { ended, end }
    try {
      await take()
    } finally {
      if (this.#probe === probe) this.#probe = undefined
      end()
    }
  }

  async #take ({ key, setAside }: PendingFile, waitsForOwner: boolean): Promise<void> {
    const { onProgress, retrySetAside = false } = this.#options
    const { stores, onPromoted, log, observer } = this.#tools
    if (this.#total === 0) this.#total = stores.local.waiting().files
    let bytes = 0
    const tell = (progress: Partial<PromotionProgress>): void => {
      // New files may have come meanwhile.
      this.#total = Math.max(this.#total, this.#done)
      onProgress?.({ total: this.#total, done: this.#done, key, bytes, size_bytes: file.size, ...progress })
    }
    const file = new PromotedFile(stores, {
      key,
      takeUp: retrySetAside,
      onPromoted,
      log,
      waitsForOwner,
      enter: async signal => await this.#places.enter(signal),
      onBytes: moved => {
        bytes = moved
        tell({})
      },
    })
    const started = performance.now()
    const outcome = await this.#try(file, setAside)
    if (outcome.kind === 'elsewhere' || (outcome.kind === 'gone' && !file.isStopped)) this.#hasCompany = true
    if (outcome.kind === 'elsewhere' && !waitsForOwner && this.#elsewhere.length < MOST_ELSEWHERE) {
      this.#elsewhere.push({ key, kind: 'file', setAside })
      return
    }
    if (outcome.kind === 'blocked' || (outcome.kind === 'failed' && outcome.fault === 'b2')) this.#isEnded = true
    // Stopped: the file is being deleted, or the whole pass stops.
    if (outcome.kind === 'blocked' || outcome.kind === 'stopped') return
    if (outcome.kind === 'promoted') bytes = file.size
    this.#count(file, outcome)
    logOutcome(file, outcome, Math.round(performance.now() - started), log, observer)
    this.#done++
    tell(progressOf(outcome))
  }

  async #try (file: PromotedFile, setAside: string | undefined): Promise<PassOutcome> {
    const { dryRun = false, retrySetAside = false } = this.#options
    const { queue, stores: { local } } = this.#tools
    if (setAside !== undefined && !retrySetAside) return { kind: 'set_aside', detail: setAside }
    if (dryRun) return await file.exists().then(exists => ({ kind: exists ? 'pending' : 'gone' }), outcomeOf)
    if (retrySetAside) queue.forgive(file.key)
    if (queue.isLeftOut(file.key)) return { kind: 'skipped', detail: 'It failed lately' }
    // Claiming each file that is gone would take ten times as long.
    if (this.#hasCompany && !await local.has(file.key).catch(() => true)) return { kind: 'gone' }
    this.#underWay.add(file)
    const outcome = await file.run()
    this.#underWay.delete(file)
    if (outcome.kind === 'failed') return await this.#failed(file.key, outcome)
    if (outcome.kind === 'promoted' || outcome.kind === 'gone') queue.forgive(file.key)
    return outcome
  }

  async #failed (key: string, outcome: PromotionFailed): Promise<PromotionOutcome> {
    const { queue, stores } = this.#tools
    const { fault, error_code, detail, more = {} } = outcome
    if (fault === 'b2') queue.moveToEnd(key)
    if (fault !== 'file' || !queue.countFailure(key)) return outcome
    try {
      await stores.local.setAside(key, detail)
      return { kind: 'set_aside', error_code, detail, more }
    } catch (error) {
      return outcomeOf(error)
    }
  }

  #count ({ key, size }: PromotedFile, { kind }: PassOutcome): void {
    const report = this.#report
    if (kind === 'promoted' || kind === 'failed' || kind === 'set_aside' || kind === 'skipped') report[kind]++
    if (kind === 'promoted' || kind === 'pending') report.bytes += size
    if (kind === 'gone') this.#tools.stores.local.markGone(key)
    if (kind !== 'elsewhere') return
    report.skipped++
    report.elsewhere++
  }
}
