import { isKeyed, timeOfName } from '../../keys.ts'

/** How much waits in the directory for promotion. Until all has been counted once, it is what was counted so far. */
export interface Waiting {
  /** Includes files that are set aside, and receipts without a file. */
  readonly files: number
  /** Bytes of these files. */
  readonly bytes: number
  /** When the oldest was uploaded, milliseconds since 1970; undefined if nothing waits. */
  readonly oldest: number | undefined
  /** Whether all has been counted once. */
  readonly isCounted: boolean
}

/** One reading of the directory that counts files. Files that come or go meanwhile must count once. */
export interface Count {
  /** A file that is there. */
  saw (key: string): void
  /** @param oldest the first of all, in order; `isAll`: there are no others; `times` when those were uploaded whose names don't tell */
  end (oldest: readonly string[], isAll: boolean, times?: ReadonlyMap<string, number>): void
  cancel (): void
}

/** One reading of the directory that adds up sizes. */
export interface Measurement {
  saw (key: string, bytes: number): void
  end (): void
  cancel (): void
}

interface Changes {
  readonly added: Set<string>
  readonly removed: Set<string>
}

/** Bits of an approximate set of seen files: the last six hexadecimal digits of an id are random. */
const SEEN_BITS = 2 ** 24

/**
 * Counts what waits, without a list of it. It adds and subtracts what this process does; the next reading notices what other
 * processes do.
 */
export class Tally {
  #files = 0
  #bytes = 0
  #isCounted = false
  #isMeasured = false
  /** The oldest files of the last count, oldest first, without those that have gone since. */
  #oldest = new Set<string>()
  /** A file that comes before all of these. */
  #passed: string | undefined
  /** The oldest file that was known last. */
  #lastKnown: string | undefined
  /** When files were uploaded whose names don't tell, of those that are known to wait. */
  #times = new Map<string, number>()
  readonly #counts = new Set<Changes>()
  /** Files that are being stored here: a reading may see them before they are added, and they must not count twice. */
  readonly #coming = new Set<string>()
  #measurement: (Changes & { bytes: number, readonly seen: Uint8Array }) | undefined

  get waiting (): Waiting {
    const oldest = this.#passed ?? first(this.#oldest) ?? this.#lastKnown
    return {
      files: this.#files,
      bytes: this.#files === 0 ? 0 : this.#isMeasured ? this.#bytes : this.#measurement?.bytes ?? this.#bytes,
      oldest: this.#files === 0 || oldest === undefined ? undefined : timeOfName(nameOf(oldest)) ?? this.#times.get(oldest),
      isCounted: this.#isCounted && this.#isMeasured,
    }
  }

  /** Says that a file will be stored here, or will fail. */
  expect (key: string): void {
    this.#coming.add(key)
  }

  /** Says that an expected file does not come. */
  expectNoMore (key: string): void {
    this.#coming.delete(key)
  }

  isComing (key: string): boolean { return this.#coming.has(key) }

  /** Counts a file that was stored here. */
  add (key: string, bytes: number): void {
    this.#coming.delete(key)
    // Only if all are known: else other files come between.
    if (this.#oldest.size === this.#files) {
      this.#oldest.add(key)
      if (isKeyed(key)) this.#times.set(key, Date.now())
    }
    this.#files++
    this.#bytes += bytes
    for (const { added } of this.#counts) added.add(key)
    if (this.#measurement === undefined) return
    this.#measurement.added.add(key)
    this.#measurement.bytes += bytes
  }

  /** Subtracts a file that this process has removed. */
  remove (key: string, bytes: number): void {
    this.#forget(key)
    this.#bytes = Math.max(0, this.#bytes - bytes)
    for (const { added, removed } of this.#counts) if (!added.delete(key)) removed.add(key)
    const measurement = this.#measurement
    if (measurement === undefined) return
    if (measurement.added.delete(key) || isMarked(measurement.seen, key)) measurement.bytes = Math.max(0, measurement.bytes - bytes)
    else measurement.removed.add(key)
  }

  /** Subtracts a file of the last count that is gone, perhaps removed by another process. */
  markGone (key: string): void {
    if (!this.#oldest.has(key) && key !== this.#passed) return // or this process removed it, and has counted that
    this.#bytes -= Math.round(this.#bytes / Math.max(1, this.#files)) // until they are measured again
    this.#forget(key)
  }

  /** @param isFromStart false: it looks for files after some place, and others may wait before it */
  count (isFromStart: boolean): Count {
    const changes: Changes = { added: new Set(), removed: new Set() }
    this.#counts.add(changes)
    const { added, removed } = changes
    let seen = 0
    return {
      saw: key => {
        if (this.#coming.has(key)) return
        if (added.size > 0) added.delete(key) // the test spares the work of joining the key
        seen++
        if (this.#isCounted) return
        this.#files = Math.max(this.#files, seen)
        if (this.#lastKnown === undefined || nameOf(key) < nameOf(this.#lastKnown)) this.#lastKnown = key
      },
      end: (oldest, isAll, times) => {
        this.#counts.delete(changes)
        const here = new Set(oldest.filter(key => !removed.has(key) && !this.#coming.has(key)))
        const all = new Set([...here, ...added])
        this.#passed = isFromStart ? undefined : this.#passed ?? first(this.#oldest)
        const isExact = isFromStart && isAll
        const files = isExact ? all.size : seen + added.size
        if (files < this.#files) this.#bytes = Math.round(this.#bytes * files / this.#files)
        this.#files = files
        this.#oldest = isExact ? all : here
        this.#lastKnown = this.#passed ?? first(this.#oldest)
        this.#times = new Map([...this.#times, ...times ?? []].filter(([key]) => this.#oldest.has(key) || key === this.#lastKnown))
        this.#isCounted = true
      },
      cancel: () => { this.#counts.delete(changes) },
    }
  }

  measure (): Measurement {
    const measurement = this.#measurement = { added: new Set<string>(), removed: new Set<string>(), bytes: 0, seen: new Uint8Array(SEEN_BITS / 8) }
    const end = (): void => { if (this.#measurement === measurement) this.#measurement = undefined }
    return {
      saw (key, bytes) {
        if (measurement.added.has(key) || measurement.removed.has(key)) return
        mark(measurement.seen, key)
        measurement.bytes += bytes
      },
      end: () => {
        end()
        this.#bytes = measurement.bytes
        this.#isMeasured = true
      },
      cancel: end,
    }
  }

  #forget (key: string): void {
    this.#files = Math.max(0, this.#files - 1)
    if (key === this.#passed) this.#passed = undefined
    if (key === first(this.#oldest)) this.#lastKnown = key
    this.#oldest.delete(key)
  }
}

function first (keys: ReadonlySet<string>): string | undefined {
  return keys.values().next().value
}

function nameOf (key: string): string {
  return key.slice(key.lastIndexOf('/') + 1)
}

function bitOf (key: string): number {
  const [id] = /[0-9a-f]{6}(?=(?:\.[a-z0-9]{1,8})?$)/.exec(key) ?? ['0']
  return parseInt(id, 16)
}

function mark (bits: Uint8Array, key: string): void {
  const bit = bitOf(key)
  bits[bit >> 3]! |= 1 << (bit & 7)
}

function isMarked (bits: Uint8Array, key: string): boolean {
  const bit = bitOf(key)
  return (bits[bit >> 3]! & (1 << (bit & 7))) !== 0
}
