import { endsParts } from '../b2/error-codes.ts'
import type { B2Store } from '../b2/store.ts'
import type { Log } from '../log.ts'
import type { BufferPool } from '../memory/buffer-pool.ts'
import type { CircuitBreaker } from '../circuit-breaker.ts'
import type { LocalStore, Waiting } from '../local/store.ts'
import type { MemoryAccount } from '../memory/account.ts'
import type { Observer } from '../observer.ts'
import { PromotedFile } from './file.ts'
import { PromotionMemory } from './memory.ts'
import { PromotionPass } from './pass.ts'
import { PromotionQueue } from './queue.ts'
import { logOutcome, NOTHING_DONE } from './report.ts'
import type { PromoteOptions, PromotionProgress, PromotionReport } from './report.ts'
import { oneAtATime } from '../tasks/one-at-a-time.ts'
import type { Receipt } from '../receipt.ts'

export type { PromoteOptions, PromotionProgress, PromotionReport }

export interface PromoterOptions {
  /** Undefined in local-only mode: then there is nothing to promote. */
  readonly b2: B2Store | undefined
  readonly local: LocalStore
  readonly breaker: CircuitBreaker
  /** Grants the memory for promotions' buffers. */
  readonly account: MemoryAccount
  readonly pool: BufferPool
  readonly log: Log
  readonly observer?: Observer | undefined
  /** Milliseconds between two passes. 0: only calls promote; B2 is still cleaned up each minute. */
  readonly intervalMs: number
  /** Files that are promoted at once. */
  readonly concurrency: number
  /** Failures in a row after which a file is set aside; B2's don't count. Default 5. */
  readonly maxFailures?: number
  /** Called with the new receipt once B2 certainly has the file; the local file is removed only after it has resolved. */
  readonly onPromoted?: ((receipt: Receipt) => unknown) | undefined
  /** Rejects if the directory's files must not go to this bucket: then there is no pass. */
  readonly beforePass?: (() => Promise<unknown>) | undefined
}

/** How the try to join a split file at once ended, and why it can never be joined. */
export type JoinOutcome = { readonly kind: 'joined' | 'later' } | { readonly kind: 'lost', readonly detail: string, /** Whether B2 has another file under its key. */ readonly isTaken: boolean }

/** Moves files that fell back to local storage to B2, oldest first, a few at a time. */
export interface Promoter {
  /**
   * One pass over all files. Passes don't overlap: a call during one gets a pass that begins after it. After `close` it does
   * nothing.
   * @throws {LocalStoreError} if the directory can't be read; {WrongBucketError} if it belongs to another bucket
   */
  promote (options?: PromoteOptions): Promise<PromotionReport>
  /** Begins to promote in the background. */
  start (): void
  /** Begins a pass soon, as B2 has recovered, unless promotion is off. */
  wake (): void
  /**
   * Tries to join one split file now, which a client waits for; the host isn't told. `joined`: B2 has it, and local storage nothing
   * any more. `lost`: it can never be joined. `later`: it is left to a pass. Never rejects.
   * @param signal ends the try
   */
  join (key: string, signal: AbortSignal): Promise<JoinOutcome>
  /**
   * Stops a promotion of this key in this process, and resolves when it writes nothing more to B2. Call it once the local file is
   * removed: then no other promotion can begin.
   */
  stopWriting (key: string): Promise<void>
  /** What is to be promoted, files set aside included; nothing in local-only mode. */
  readonly waiting: Waiting
  /** Stops at a safe point, or after `graceMs` at any point. What was under way begins again at the next start. Default 0. */
  close (graceMs?: number): Promise<void>
}

/** How often B2 is cleaned up if promotion is off. */
const CLEANUP_INTERVAL_MS = 60_000

const NOTHING_WAITS: Waiting = { files: 0, bytes: 0, oldest: undefined, isCounted: true }

export function createPromoter (options: PromoterOptions): Promoter {
  const { b2, local, log, observer, intervalMs, concurrency, maxFailures = 5, onPromoted, beforePass } = options
  const queue = new PromotionQueue(maxFailures)
  const memory = new PromotionMemory(options.account)
  const memoryForClients = new PromotionMemory(options.account, false)
  /** Background work; none of it rejects. */
  const background = new Set<Promise<void>>()
  /** Passes and counts don't overlap: a file that is promoted during a count would be pending after it. */
  const inTurn = oneAtATime()
  let current: PromotionPass | undefined
  /** Files that clients wait for. */
  const joining = new Set<PromotedFile>()
  let isWoken = false
  const closing = new AbortController()
  let timer: NodeJS.Timeout | undefined

  async function promote (how: PromoteOptions = {}): Promise<PromotionReport> {
    if (b2 === undefined) return { ...NOTHING_DONE }
    return await inTurn(async () => closing.signal.aborted ? { ...NOTHING_DONE, pending: local.waiting().files } : await runPass(b2, how))
  }

  async function runPass (b2: B2Store, how: PromoteOptions): Promise<PromotionReport> {
    await beforePass?.()
    const pass = current = new PromotionPass({ stores: { ...options, b2, memory }, queue, log, observer, onPromoted, concurrency }, how)
    try {
      const report = await pass.run()
      void local.measure()
      return { ...report, pending: local.waiting().files }
    } finally {
      current = undefined
    }
  }

  async function join (key: string, signal: AbortSignal): Promise<JoinOutcome> {
    if (b2 === undefined || closing.signal.aborted || signal.aborted) return { kind: 'later' }
    const file = new PromotedFile({ ...options, b2, memory: memoryForClients }, {
      key, takeUp: false, onPromoted: undefined, log, waitsForOwner: false, enter: async () => () => {}, onBytes () {},
    })
    const abort = (): void => file.abort()
    signal.addEventListener('abort', abort)
    joining.add(file)
    try {
      await beforePass?.()
      const started = performance.now()
      const outcome = await file.run()
      if (outcome.kind === 'promoted') return { kind: 'joined' }
      if (outcome.kind === 'set_aside') return { kind: 'lost', detail: outcome.detail, isTaken: outcome.error_code === 'another_file' }
      if (outcome.kind === 'failed') {
        if (endsParts(outcome)) return { kind: 'lost', detail: outcome.detail, isTaken: false }
        logOutcome(file, outcome, Math.round(performance.now() - started), log, observer)
      }
      return { kind: 'later' }
    } catch (err) {
      log.warn({ err, key }, 'a split file could not be joined at once')
      return { kind: 'later' }
    } finally {
      joining.delete(file)
      signal.removeEventListener('abort', abort)
    }
  }

  async function look (): Promise<void> {
    await local.count(closing.signal).catch(error => { if (!closing.signal.aborted) throw error })
  }

  function inBackground (work: () => Promise<unknown>): void {
    const run = work()
      .then(() => {}, (err: unknown) => log.error({ err }, 'local storage could not be searched for files to promote'))
      .finally(() => background.delete(run))
    background.add(run)
  }

  function wake (): void {
    current?.resume()
    if (intervalMs === 0 || b2 === undefined || isWoken || closing.signal.aborted) return
    isWoken = true
    inBackground(() => inTurn(async () => { isWoken = false }).then(() => promote()))
  }

  function schedule (b2: B2Store): void {
    if (closing.signal.aborted) return
    timer = setTimeout(() => inBackground(async () => {
      b2.retryCleanup()
      try {
        await (intervalMs === 0 ? inTurn(look) : promote())
      } finally {
        schedule(b2)
      }
    }), intervalMs === 0 ? CLEANUP_INTERVAL_MS : intervalMs).unref()
  }

  return {
    promote,
    join,
    wake,

    start () {
      if (b2 === undefined) return
      inBackground(() => inTurn(look))
      void local.measure() // which the store stops
      schedule(b2)
    },

    async stopWriting (key) {
      await current?.stopWriting(key)
      for (const file of joining) if (file.key === key) await file.stopWriting()
    },

    get waiting () { return b2 === undefined ? NOTHING_WAITS : local.waiting() },

    async close (graceMs = 0) {
      closing.abort()
      clearTimeout(timer)
      current?.stop()
      const abortTimer = setTimeout(() => current?.abort(), graceMs)
      await inTurn(async () => {})
      await Promise.all(background)
      clearTimeout(abortTimer)
    },
  }
}
