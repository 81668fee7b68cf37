import type { Log } from '../log.ts'
import type { ResumableStores } from './taking/append.ts'
import type { Finder } from './finder.ts'
import type { Holds } from './holds.ts'
import { mayNotList } from './stores/remote.ts'

export interface UpkeepOptions {
  readonly stores: Pick<ResumableStores, 'b2' | 'disk' | 'remote' | 'breaker'>
  readonly finder: Finder
  readonly holds: Holds
  readonly maxAgeMs: number
  readonly log: Log
  /** Sends what local storage has of an upload to B2. */
  flush (name: string): Promise<void>
  /** Removes an upload if it is too old. @param modifiedAt of the newest object that B2 has of it, if it is listed there */
  expire (name: string, modifiedAt?: number): Promise<void>
}

const LONGEST_PAUSE_MS = 60_000
const SHORTEST_PAUSE_MS = 1_000
/** Between two listings of what B2 has, which cost. */
const LISTING_PAUSE_MS = 3_600_000 // an hour

/** Looks after unfinished uploads in the background: takes to B2 what only local storage has, and removes those to which nothing was added for long. */
export class Upkeep {
  readonly #options: UpkeepOptions
  readonly #closing = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  #isWoken = false
  #nextListing: number
  #isStarted = false

  constructor (options: UpkeepOptions) {
    this.#options = options
    // Not at the start, which calls B2 for nothing.
    this.#nextListing = performance.now() + Math.min(LONGEST_PAUSE_MS, options.maxAgeMs)
  }

  start (): void {
    this.#isStarted = true
    this.wake()
  }

  /** Looks soon. */
  wake (): void {
    if (!this.#isStarted || this.#closing.signal.aborted) return
    this.#isWoken = true
    clearTimeout(this.#timer)
    this.#running ??= this.#look().finally(() => {
      this.#running = undefined
      if (this.#isWoken) this.wake()
      else this.#schedule()
    })
  }

  async close (): Promise<void> {
    this.#closing.abort()
    clearTimeout(this.#timer)
    await this.#running
  }

  #schedule (): void {
    if (this.#closing.signal.aborted) return
    this.#timer = setTimeout(() => this.wake(), Math.max(SHORTEST_PAUSE_MS, Math.min(LONGEST_PAUSE_MS, this.#options.maxAgeMs / 4))).unref()
  }

  /** Never rejects. */
  async #look (): Promise<void> {
    this.#isWoken = false
    const { disk } = this.#options.stores
    const here = await disk.names().catch((err: unknown) => this.#warn(err))
    for (const name of here ?? []) await this.#each(name, true)
    for (const { name, touchedAt } of [...this.#options.finder.known]) if (this.#isOld(touchedAt)) await this.#each(name, false)
    await this.#lookInB2()
  }

  async #lookInB2 (): Promise<void> {
    const { stores: { remote }, maxAgeMs } = this.#options
    if (remote === undefined || performance.now() < this.#nextListing) return
    try {
      for await (const { name, modifiedAt } of remote.names(this.#closing.signal)) if (this.#isOld(modifiedAt)) await this.#each(name, false, modifiedAt)
      this.#nextListing = performance.now() + Math.min(LISTING_PAUSE_MS, Math.max(maxAgeMs, 10 * SHORTEST_PAUSE_MS))
    } catch (error) {
      // Then the bucket's lifecycle rule removes them.
      if (mayNotList(error)) this.#nextListing = Infinity
    }
  }

  #isOld (time: number): boolean {
    return time + this.#options.maxAgeMs <= Date.now()
  }

  async #each (name: string, isHere: boolean, modifiedAt?: number): Promise<void> {
    const { holds, stores: { breaker, b2 }, flush, expire } = this.#options
    const release = this.#closing.signal.aborted ? undefined : holds.tryTake(name)
    if (release === undefined) return
    try {
      await expire(name, modifiedAt)
      if (isHere && b2 !== undefined && breaker.canAcquire(true)) await flush(name)
    } catch (err) {
      if (!this.#closing.signal.aborted) this.#warn(err, name)
    } finally {
      release()
    }
  }

  #warn (err: unknown, name?: string): undefined {
    this.#options.log.warn({ err, ...(name === undefined ? {} : { name }) }, 'unfinished uploads could not be looked after')
  }
}
