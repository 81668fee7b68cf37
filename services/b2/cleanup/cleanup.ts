import type { B2Client } from '../http/client.ts'
import { describeFailure } from '../error-codes.ts'
import type { B2ErrorCode } from '../error-codes.ts'
import { LeftoverList } from './leftover-list.ts'
import type { Waiting } from './leftover-list.ts'
import { LeftoverRemoval } from './leftover-removal.ts'
import type { Leftover, Leftovers } from './leftovers.ts'
import { companionKey } from '../object-receipt.ts'
import type { Log } from '../../log.ts'
import { UnfinishedSweep } from './unfinished-sweep.ts'

export interface B2CleanupOptions {
  readonly client: B2Client
  readonly bucket: string
  readonly log?: Log
  /** Called with what B2 failed with. */
  onFailure? (error_code: B2ErrorCode): void
  /** Where leftovers are written down that could not be removed at once. Default: memory only, which a restart forgets. */
  readonly leftovers?: Leftovers
  /**
   * Whether there is a file or receipt for `key` (never that of a companion); asked right before its object is removed. A
   * wanted one is not, nor is one of which that can't be told.
   */
  isWanted? (key: string): Promise<boolean>
  /** Whether somebody may be writing the object of `key` just now; asked as `isWanted` is. What he writes would stay. */
  isBusy? (key: string): Promise<boolean>
  /** Removes what is here of a file that was deleted: whoever deleted it may not have come to that. */
  removeHere? (key: string): Promise<void>
}

/**
 * How long a deletion is remembered if a process without a claim may be promoting the file. Such a process looks for the file
 * each second, and ends when that is gone; the rest of the time is for B2, which may carry out late what it got.
 */
export const DELETION_HOLD_MS = 600_000 // 10 minutes

const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 60_000
const GRACE_AT_CLOSE_MS = 2_000
// So that a long list of what B2 refuses is not asked for each minute.
const MOST_REFUSALS_A_PASS = 10
// An upload begun after its key's leftovers were noted may be that of a promotion; clocks differ by this much.
const CLOCK_TOLERANCE_MS = 10_000
const MOST_TOLD_AT_CLOSE = 20

/** Of these the others on the list may be free; any other failure is B2's, and ends a pass. */
const REFUSALS: ReadonlySet<B2ErrorCode> = new Set(['access_denied', 'invalid_request'])

const COMPANION_SUFFIX = companionKey('')

/** Removes leftovers from B2 in the background, one after the other, and keeps at it while B2 is out of reach. */
export class B2Cleanup {
  readonly #options: B2CleanupOptions
  readonly #list: LeftoverList
  readonly #cancel = new AbortController()
  readonly #removal: LeftoverRemoval
  readonly #sweep: UnfinishedSweep
  #working: Promise<void> | undefined
  #again = false
  #timer: NodeJS.Timeout | undefined
  #pauseMs = FIRST_PAUSE_MS
  #closed = false

  /** Reads the list on disk, and begins to work it off. */
  constructor (options: B2CleanupOptions) {
    const { client, bucket, leftovers, log } = options
    this.#options = options
    this.#list = new LeftoverList(leftovers, bucket, log)
    this.#removal = new LeftoverRemoval({ client, bucket, signal: this.#cancel.signal })
    this.#sweep = new UnfinishedSweep({
      removal: this.#removal, signal: this.#cancel.signal, log, isWanted: async key => await options.isWanted?.(key) ?? false,
    })
    this.retry()
  }

  /**
   * Takes a leftover on and begins at once. It is written down when the first try is over and it is still there. Objects
   * have to be noted: no process may have one in mind that another one could settle without learning of it.
   */
  add (leftover: Exclude<Leftover, { kind: 'object' }>): void {
    const entry = this.#list.add(leftover)
    if (this.#closed) this.#list.write(entry)
    else this.#begin()
  }

  /**
   * Takes a leftover on and writes it down before anything else; once the promise resolves, no restart forgets it. False
   * where it could not be written, and only memory has it. Never rejects.
   */
  async note (leftover: Leftover): Promise<boolean> {
    const entry = this.#list.add(leftover)
    const written = await this.#list.write(entry)
    this.retry()
    return written
  }

  /**
   * Says that `key` is now the stored and acknowledged object: whoever noted that it is to be removed, in this process or
   * another, now or before a restart, it is not any more; its older versions are, and those of its companion. They are in
   * any case with `mayHaveDoubles`.
   *
   * From the call on this process does not remove it. Once the promise resolves no other does, and no restart brings it
   * back: whoever removes what made the key wanted (the local file, its receipt) must await it first. It rejects where the
   * disk failed and that is not sure.
   */
  settle (key: string, mayHaveDoubles: boolean, correlationId?: string): Promise<void> {
    const settled = this.#list.settle(key, mayHaveDoubles, correlationId)
    settled.then(() => this.#begin(), () => {}) // nobody has to wait for it who removes nothing
    return settled
  }

  /** True while the object `key` is to be removed from B2: for readers it is gone already. */
  isForgotten (key: string): boolean {
    return this.#list.isForgotten(key)
  }

  /** True while the object `key` was deleted here, and may come back, as somebody may be promoting it without a claim. */
  mayReturn (key: string): boolean {
    return this.#list.mayReturn(key)
  }

  /** True while an upload of `key`, of any process on the directory, is to be ended that may still be completed, unless B2 refuses to end it. */
  async mayComplete (key: string): Promise<boolean> {
    await this.#list.refresh()
    return this.#list.mayComplete(key)
  }

  /** Works off what is waiting now, rather than after the pause; also what other processes on the directory noted. */
  retry (): void {
    if (this.#working !== undefined) this.#again = true
    this.#begin()
  }

  /**
   * Aborts multipart uploads of this service under `prefix` that were begun more than `olderThanMs` ago, got no part since, and have neither
   * file nor receipt here. To be called as often as one likes: it looks once an hour, and not again if the application key may not
   * list. Never rejects.
   */
  async sweepUnfinished (prefix: string, olderThanMs: number): Promise<void> {
    if (!this.#closed) await this.#sweep.run(prefix, olderThanMs)
  }

  /** Gives what is under way two seconds more, then ends it; what is left is written down and logged. */
  async close (): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    const cancelTimer = setTimeout(() => this.#cancel.abort(), GRACE_AT_CLOSE_MS)
    await Promise.all([this.#working, this.#sweep.running])
    clearTimeout(cancelTimer)
    await this.#list.writeAll()
    this.#tellRest()
  }

  #begin (): void {
    if (this.#closed || (this.#list.size === 0 && this.#options.leftovers === undefined)) return
    clearTimeout(this.#timer)
    this.#working ??= this.#pass().finally(() => {
      this.#working = undefined
      if (this.#closed) return
      if (this.#again) {
        this.#again = false
        this.#begin()
      } else if (this.#list.size > 0) {
        this.#timer = setTimeout(() => this.#begin(), this.#pauseMs)
        this.#timer.unref()
        this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS)
      }
    })
  }

  /** Tries everything once, but no more than one where B2 is out of reach. */
  async #pass (): Promise<void> {
    const tried = new Set<Waiting>()
    let refusals = 0
    await this.#list.refresh()
    for (const entry of this.#list.values()) {
      if (this.#cancel.signal.aborted || refusals === MOST_REFUSALS_A_PASS) break
      if (tried.has(entry)) continue
      tried.add(entry)
      const outcome = await this.#try(entry)
      if (outcome === 'failed') break
      if (outcome === 'refused') refusals++
      if (outcome === 'removed') this.#pauseMs = FIRST_PAUSE_MS
    }
    await this.#list.writeAll()
  }

  async #try (entry: Waiting): Promise<'removed' | 'waits' | 'refused' | 'failed'> {
    entry.underWay = true
    try {
      if (await this.#remove(entry)) {
        await this.#list.done(entry)
        return 'removed'
      }
      this.#list.putBack(entry)
      return 'waits'
    } catch (error) {
      this.#list.putBack(entry)
      return this.#tell(entry, error)
    } finally {
      entry.underWay = false
    }
  }

  /** False where it may not be removed now. */
  async #remove (entry: Waiting): Promise<boolean> {
    const { leftover, notedAt } = entry
    const { key } = leftover
    if (leftover.kind === 'object') {
      const mayRemove = (): Promise<boolean> => this.#mayRemove(entry)
      // Asked before B2 is: what comes to it after that time is nobody's.
      const isOver = leftover.unclaimed !== true || Date.now() - notedAt >= DELETION_HOLD_MS
      return await mayRemove() && await this.#removal.removeObject(key, mayRemove) && isOver
    }
    // These are nobody's file, wanted or not: what is aborted was never stored, and the newest version stays.
    if (leftover.kind === 'upload') await this.#removal.abort(leftover)
    else if (leftover.kind === 'uploads') await this.#removal.abortBegunUntil(notedAt + CLOCK_TOLERANCE_MS, key)
    else await this.#removal.removeDoubles(key)
    return true
  }

  async #mayRemove (entry: Waiting): Promise<boolean> {
    const { key } = entry.leftover
    const isDeleted = entry.leftover.kind === 'object' && entry.leftover.deleted === true
    const fileKey = key.endsWith(COMPANION_SUFFIX) ? key.slice(0, -COMPANION_SUFFIX.length) : key
    try {
      if (isDeleted) await this.#options.removeHere?.(fileKey)
      entry.wanted = !isDeleted && (await this.#options.isWanted?.(fileKey) ?? false)
      if (await this.#options.isBusy?.(fileKey) === true) return false
    } catch (err) {
      if (entry.told !== 'local') this.#options.log?.warn({ event: 'b2.cleanup_failed', ...entry.leftover, err }, 'whether the file is wanted can\'t be told')
      entry.told = 'local'
      return false
    }
    // In this order: what was promoted was settled first, and ceased to be wanted then.
    return !entry.wanted && await this.#list.stands(entry)
  }

  #tell (entry: Waiting, error: unknown): 'refused' | 'failed' {
    if (this.#cancel.signal.aborted) return 'failed'
    const { error_code, detail } = describeFailure(error)
    this.#options.onFailure?.(error_code)
    const isRefused = REFUSALS.has(error_code)
    if (!isRefused || entry.told !== error_code) {
      this.#options.log?.warn({ event: 'b2.cleanup_failed', ...entry.leftover, error_code, detail }, 'B2 could not be cleaned up yet')
    }
    if (isRefused) entry.told = error_code
    return isRefused ? 'refused' : 'failed'
  }

  #tellRest (): void {
    const rest = [...this.#list.values()]
    if (rest.length === 0) return
    const fields = { event: 'b2.leftovers', count: rest.length, leftovers: rest.slice(0, MOST_TOLD_AT_CLOSE).map(({ leftover }) => leftover) }
    if (rest.every(({ isWritten }) => isWritten)) {
      this.#options.log?.info(fields, 'B2 could not be cleaned up before the end; that goes on at the next start')
    } else {
      this.#options.log?.warn(fields, 'B2 could not be cleaned up before the end; the bucket\'s lifecycle rule removes unfinished uploads')
    }
  }
}
