import type { B2Store } from './b2/store.ts'
import type { Log } from './log.ts'
import type { BufferPool } from './buffer-pool.ts'
import type { CircuitBreaker } from './circuit-breaker.ts'
import type { LocalStore } from './local-store.ts'
import type { MemoryAccount } from './memory-account.ts'
import type { Observer } from './observer.ts'
import { PromotionPass } from './promotion-pass.ts'
import { PromotionQueue } from './promotion-queue.ts'
import type { PromoteOptions, PromotionProgress, PromotionReport } from './promotion-report.ts'
import type { Receipt } from './track.ts'

export type { PromoteOptions, PromotionProgress, PromotionReport }

export interface PromoterOptions {
  /** Undefined in local-only mode: then there is nothing to promote. */
  readonly b2: B2Store | undefined
  readonly local: LocalStore
  readonly breaker: CircuitBreaker
  /** Pays for the one buffer that a promotion reads into. */
  readonly account: MemoryAccount
  readonly pool: BufferPool
  readonly log: Log
  readonly observer?: Observer | undefined
  /** Milliseconds of pause between two passes. 0: nothing is promoted but by a call; B2 is still cleaned up each minute. */
  readonly intervalMs: number
  /** Failures in a row, for reasons of its own, after which a file is set aside. Default 5. */
  readonly maxFailures?: number
  /** Called with the new receipt once B2 has the file for sure; the local file goes only after it resolved. */
  readonly onPromoted?: ((receipt: Receipt) => unknown) | undefined
  /** Rejects if the directory's files must not go to this bucket: then there is no pass. */
  readonly beforePass?: (() => Promise<unknown>) | undefined
}

/** Moves files that fell back to local storage to B2, one at a time. */
export interface Promoter {
  /**
   * One pass over all files. Passes don't overlap: a call during one gets a pass that begins after it. Once closed it does
   * nothing.
   * @throws {LocalStoreError} where the directory can't be read; {WrongBucketError} if it belongs to another bucket
   */
  promote (options?: PromoteOptions): Promise<PromotionReport>
  /** Begins to work by itself. */
  start (): void
  /** Begins a pass soon, unless promotion is off: B2 is well again. */
  wake (): void
  /** Says that a file was stored locally: it is pending from now on. */
  note (key: string): void
  /**
   * Ends a promotion of this key that is under way in this process, and resolves when it can't write to B2 any more; the key
   * is not pending any more. To be called once the local file is removed: then no other promotion can begin.
   */
  release (key: string): Promise<void>
  /** Files to be promoted, those set aside included, as of the last look and what was noted since; 0 in local-only mode. */
  readonly pending: number
  /** Stops at a safe point, after `graceMs` anywhere; what was under way begins again at the next start. Default 0. */
  close (graceMs?: number): Promise<void>
}

/** How often B2 is cleaned up where promotion is off. */
const CLEANUP_INTERVAL_MS = 60_000

const NOTHING: PromotionReport = { promoted: 0, failed: 0, set_aside: 0, skipped: 0, pending: 0, bytes: 0 }

export function createPromoter (options: PromoterOptions): Promoter {
  const { b2, local, log, observer, intervalMs, maxFailures = 5, onPromoted, beforePass } = options
  const queue = new PromotionQueue(maxFailures)
  /** Keys, as of the last look. */
  const pending = new Set<string>()
  /** What runs of its own accord; none of them rejects. */
  const background = new Set<Promise<void>>()
  let lastTurn: Promise<unknown> = Promise.resolve()
  let current: PromotionPass | undefined
  let isWoken = false
  let isClosed = false
  let timer: NodeJS.Timeout | undefined

  async function promote (how: PromoteOptions = {}): Promise<PromotionReport> {
    if (b2 === undefined) return { ...NOTHING }
    return await inTurn(async () => isClosed ? { ...NOTHING, pending: pending.size } : await runPass(b2, how))
  }

  /** Passes and looks don't overlap: what is promoted during a look would count as pending after it. */
  async function inTurn<T> (work: () => Promise<T>): Promise<T> {
    const own = lastTurn.catch(() => {}).then(work)
    lastTurn = own
    return await own
  }

  async function runPass (b2: B2Store, how: PromoteOptions): Promise<PromotionReport> {
    await beforePass?.()
    const tools = { stores: { ...options, b2 }, queue, log, observer, onPromoted, onGone: (key: string) => { pending.delete(key) } }
    const pass = current = new PromotionPass(tools, how)
    try {
      const report = await pass.run(queue.begin(await look()))
      return { ...report, pending: pending.size }
    } finally {
      current = undefined
    }
  }

  async function look (): ReturnType<LocalStore['pending']> {
    const files = await local.pending()
    pending.clear()
    for (const { key } of files) pending.add(key)
    return files
  }

  function inBackground (work: () => Promise<unknown>): void {
    const run = work()
      .then(() => {}, (err: unknown) => log.error({ err }, 'local storage could not be searched for files to promote'))
      .finally(() => background.delete(run))
    background.add(run)
  }

  function wake (): void {
    if (intervalMs === 0 || b2 === undefined || isWoken || isClosed) return
    isWoken = true
    const before = lastTurn
    inBackground(async () => {
      await before.catch(() => {})
      isWoken = false
      await promote()
    })
  }

  function schedule (b2: B2Store): void {
    if (isClosed) return
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
    wake,

    start () {
      if (b2 === undefined) return
      inBackground(() => inTurn(look))
      schedule(b2)
    },

    note (key) {
      if (b2 !== undefined) pending.add(key)
    },

    async release (key) {
      await current?.release(key)
      pending.delete(key)
    },

    get pending () { return pending.size },

    async close (graceMs = 0) {
      isClosed = true
      clearTimeout(timer)
      current?.stop()
      const cut = setTimeout(() => current?.cut(), graceMs)
      await lastTurn.catch(() => {})
      await Promise.all(background)
      clearTimeout(cut)
    },
  }
}
