import type { B2Client } from '../http/client.ts'
import { describeFailure } from '../error-codes.ts'
import type { B2ErrorCode } from '../error-codes.ts'
import { CleanupQueue } from './queue.ts'
import type { Waiting } from './queue.ts'
import { Remover } from './remover.ts'
import type { Leftover, Notes } from './notes.ts'
import { keyOfFile } from '../object-receipt.ts'
import type { Log } from '../../log.ts'
import { UnfinishedSweep } from './sweep.ts'

export interface B2CleanupOptions {
  readonly client: B2Client
  readonly bucket: string
  readonly log?: Log
  /** Called with each failure of B2. */
  onFailure? (error_code: B2ErrorCode): void
  /** Keeps what could not be removed at once. Default: memory only, which a restart forgets. */
  readonly notes?: Notes
  /**
   * Whether there is a file or receipt for `key` (never a companion's key); called right before its object is removed. If it
   * is wanted, or that can't be told, the object stays.
   */
  isWanted? (key: string): Promise<boolean>
  /** Whether a process may be writing the object of `key` now; called like `isWanted`. What it writes would stay. */
  isBusy? (key: string): Promise<boolean>
  /** Whether a client may still go on with the multipart upload of a key. */
  isContinued? (key: string): Promise<boolean>
  /** Removes a deleted file from local storage: the process that deleted it may have died before that. */
  removeHere? (key: string): Promise<void>
}

/**
 * How long a deletion is remembered if a process without a claim may be promoting the file. Such a process looks for the file
 * each second, and stops when it is gone. The rest of the time is for B2, which may carry out requests late.
 */
export const DELETION_HOLD_MS = 600_000 // 10 minutes

const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 60_000
const GRACE_AT_CLOSE_MS = 2_000
// So that many refused leftovers don't cause many requests each minute.
const MOST_REFUSALS_A_PASS = 10
// An upload that began after its key's leftovers were noted may be a promotion's; clocks differ by this much.
const CLOCK_TOLERANCE_MS = 10_000
const MOST_TOLD_AT_CLOSE = 20

/** These may concern one leftover alone. Any other failure is B2's, and ends a pass. */
const REFUSALS: ReadonlySet<B2ErrorCode> = new Set(['access_denied', 'invalid_request'])

/** Removes leftovers from B2 in the background, one after the other, and tries again while B2 is out of reach. */
export class B2Cleanup {
  readonly #options: B2CleanupOptions
  readonly #queue: CleanupQueue
  readonly #abort = new AbortController()
  readonly #remover: Remover
  readonly #sweep: UnfinishedSweep
  #working: Promise<void> | undefined
  #again = false
  #timer: NodeJS.Timeout | undefined
  #pauseMs = FIRST_PAUSE_MS
  #closed = false

  /** Reads the notes, and begins at once. */
  constructor (options: B2CleanupOptions) {
    const { client, bucket, notes, log } = options
    this.#options = options
    this.#queue = new CleanupQueue(notes, bucket, log)
    this.#remover = new Remover({ client, bucket, signal: this.#abort.signal })
    this.#sweep = new UnfinishedSweep({
      remover: this.#remover,
      signal: this.#abort.signal,
      log,
      isWanted: async key => await options.isWanted?.(key) === true || await options.isContinued?.(key) === true,
    })
    this.retry()
  }

  /**
   * Adds a leftover and begins at once. It is written down if the first try fails. Objects need {@link note} instead: another
   * process that settles one must be able to find the note.
   */
  add (leftover: Exclude<Leftover, { kind: 'object' }>): void {
    const entry = this.#queue.add(leftover)
    if (this.#closed) void this.#queue.write(entry)
    else this.#begin()
  }

  /**
   * Adds a leftover and writes it down before anything else; once the promise resolves, no restart forgets it. False if it
   * could not be written, and only memory has it. Never rejects.
   */
  async note (leftover: Leftover): Promise<boolean> {
    const entry = this.#queue.add(leftover)
    const written = await this.#queue.write(entry)
    this.retry()
    return written
  }

  /** See the B2 store, like the next five. */
  settle (key: string, mayHaveDoubles: boolean, correlationId?: string, attempt?: string): Promise<void> {
    const settled = this.#queue.settle(key, mayHaveDoubles, correlationId, attempt)
    settled.then(() => this.#begin(), () => {}) // a caller that removes nothing need not wait for it
    return settled
  }

  isForgotten (key: string, attempt?: string): boolean {
    return this.#queue.isForgotten(key, attempt)
  }

  isRemoving (key: string): boolean {
    return this.#queue.hasObject(key)
  }

  async hasLeftovers (key: string, below?: string): Promise<boolean> {
    await this.#queue.refresh()
    return this.isRemoving(key) || this.#queue.mayComplete(key) || (below !== undefined && this.#queue.hasBelow(below))
  }

  mayReturn (key: string): boolean {
    return this.#queue.mayReturn(key)
  }

  async mayComplete (key: string): Promise<boolean> {
    await this.#queue.refresh()
    return this.#queue.mayComplete(key)
  }

  /** Removes what waits now rather than after the pause, and what other processes on the directory have noted. */
  retry (): void {
    if (this.#working !== undefined) this.#again = true
    this.#begin()
  }

  /**
   * Aborts multipart uploads of this service under `prefix` that began more than `olderThanMs` ago, got no part since, and have
   * neither file nor receipt in local storage. However often it is called, it looks once an hour, and never again if the
   * application key may not list. Never rejects.
   */
  async sweepUnfinished (prefix: string, olderThanMs: number): Promise<void> {
    if (!this.#closed) await this.#sweep.run(prefix, olderThanMs)
  }

  /** Gives what is under way two seconds, then aborts it. What is left is written down and logged. */
  async close (): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    const abortTimer = setTimeout(() => this.#abort.abort(), GRACE_AT_CLOSE_MS)
    await Promise.all([this.#working, this.#sweep.running])
    clearTimeout(abortTimer)
    await this.#queue.writeAll()
    this.#tellRest()
  }

  #begin (): void {
    if (this.#closed || (this.#queue.size === 0 && this.#options.notes === undefined)) return
    clearTimeout(this.#timer)
    this.#working ??= this.#pass().finally(() => {
      this.#working = undefined
      if (this.#closed) return
      if (this.#again) {
        this.#again = false
        this.#begin()
      } else if (this.#queue.size > 0) {
        this.#timer = setTimeout(() => this.#begin(), this.#pauseMs)
        this.#timer.unref()
        this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS)
      }
    })
  }

  /** Tries everything once, but stops at the first failure of B2. */
  async #pass (): Promise<void> {
    const tried = new Set<Waiting>()
    let refusals = 0
    await this.#queue.refresh()
    for (const entry of this.#queue.values()) {
      if (this.#abort.signal.aborted || refusals === MOST_REFUSALS_A_PASS) break
      if (tried.has(entry)) continue
      tried.add(entry)
      const outcome = await this.#try(entry)
      if (outcome === 'failed') break
      if (outcome === 'refused') refusals++
      if (outcome === 'removed') this.#pauseMs = FIRST_PAUSE_MS
    }
    await this.#queue.writeAll()
  }

  async #try (entry: Waiting): Promise<'removed' | 'waits' | 'refused' | 'failed'> {
    entry.underWay = true
    try {
      if (await this.#remove(entry)) {
        await this.#queue.done(entry)
        return 'removed'
      }
      this.#queue.putBack(entry)
      return 'waits'
    } catch (error) {
      this.#queue.putBack(entry)
      return this.#tell(entry, error)
    } finally {
      entry.underWay = false
    }
  }

  /** False if it may not be removed now. */
  async #remove (entry: Waiting): Promise<boolean> {
    const { leftover, notedAt } = entry
    const { key } = leftover
    if (leftover.kind === 'object') {
      const mayRemove = (): Promise<boolean> => this.#mayRemove(entry)
      // Decided before B2 is asked: what comes to it after that time is not this file's.
      const isOver = leftover.unclaimed !== true || Date.now() - notedAt >= DELETION_HOLD_MS
      return await mayRemove() && await this.#remover.removeObject(key, mayRemove, leftover.attempt) && isOver
    }
    // None of these is a stored file, wanted or not: an aborted upload was never stored, and the newest version stays.
    if (leftover.kind === 'upload') await this.#remover.abort(leftover)
    else if (leftover.kind === 'uploads') await this.#remover.abortBegunUntil(notedAt + CLOCK_TOLERANCE_MS, key, leftover.except)
    else if (leftover.kind === 'below') await this.#remover.removeBelow(key)
    else await this.#remover.removeDoubles(key)
    return true
  }

  async #mayRemove (entry: Waiting): Promise<boolean> {
    const { key } = entry.leftover
    const isDeleted = entry.leftover.kind === 'object' && entry.leftover.deleted === true
    const fileKey = keyOfFile(key)
    try {
      if (isDeleted) await this.#options.removeHere?.(fileKey)
      entry.wanted = !isDeleted && (await this.#options.isWanted?.(fileKey) ?? false)
      if (await this.#options.isBusy?.(fileKey) === true) return false
    } catch (err) {
      if (entry.told !== 'local') this.#options.log?.warn({ event: 'b2.cleanup_failed', ...entry.leftover, err }, 'local storage can\'t tell whether the file is still wanted')
      entry.told = 'local'
      return false
    }
    // In this order: a promotion settles the object first, and then removes what made it wanted.
    return !entry.wanted && await this.#queue.stands(entry)
  }

  #tell (entry: Waiting, error: unknown): 'refused' | 'failed' {
    if (this.#abort.signal.aborted) return 'failed'
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
    const rest = [...this.#queue.values()]
    if (rest.length === 0) return
    const fields = { event: 'b2.leftovers', count: rest.length, leftovers: rest.slice(0, MOST_TOLD_AT_CLOSE).map(({ leftover }) => leftover) }
    if (rest.every(({ isWritten }) => isWritten)) {
      this.#options.log?.info(fields, 'B2 could not be cleaned up before the shutdown; the next start continues')
    } else {
      this.#options.log?.warn(fields, 'B2 could not be cleaned up before the shutdown; the bucket\'s lifecycle rule removes unfinished uploads')
    }
  }
}
