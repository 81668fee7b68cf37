/** What the account must know of an upload that wants memory. */
export interface Borrower {
  /** Most bytes that the upload will hold at once; Infinity where that is not known. */
  readonly need: number
  /** Bytes per second of its client while the service read, lately; undefined while too little has been seen. */
  rate (): number | undefined
  /** Ends the upload, which must close its lease soon: its client is slow and others wait for its memory. */
  end (): void
}

export interface MemoryAccountOptions {
  /** Bound on the bytes of all uploads together. */
  readonly budgetBytes: number
  /**
   * Most that is set aside for one upload, less than the budget. One that needs more must be able to go on when it has
   * paid some of this back.
   */
  readonly largestNeedBytes: number
}

interface Waiter {
  readonly lease: MemoryLease
  readonly bytes: number
  readonly since: number
  /** Its client was slow when it began to wait. */
  readonly slow: boolean
  readonly granted: () => void
}

/** A client below this can't expect others to wait for it: 64 KiB/s. */
export const SLOW_BYTES_PER_SECOND = 65_536
const PATIENCE_MS = 1_000

/**
 * The one account out of which all uploads' buffers are paid.
 *
 * An upload that is fast is *admitted*: all that it may come to need is set aside at once, so that it can always go on,
 * up to its end, whatever the others do. Uploads that don't fit wait, oldest first and slow ones last; a smaller one may
 * pass while the first has waited less than a second. Without admission many uploads would each take a little, and none
 * could finish.
 *
 * Uploads that are new, or slow, only pay for what they hold (*loose*), out of a share that always leaves room for one
 * admitted upload; a slow one that finds this share used up is admitted where there is room. While others wait longer
 * than a second, slow ones lose what was set aside for them, and then, slowest first, are ended until the first that
 * waits fits; none is where that would not help it.
 */
export class MemoryAccount {
  readonly #options: MemoryAccountOptions
  readonly #looseLimit: number
  readonly #leases = new Set<MemoryLease>()
  #queue: Waiter[] = []
  #setAside = 0
  #loose = 0
  #timer: NodeJS.Timeout | undefined

  constructor (options: MemoryAccountOptions) {
    this.#options = options
    this.#looseLimit = Math.min(options.budgetBytes / 2, options.budgetBytes - options.largestNeedBytes)
  }

  /** Bytes that uploads hold now. */
  get heldBytes (): number {
    let held = 0
    for (const lease of this.#leases) held += lease.held
    return held
  }

  /** Bytes that no other upload can have now: those held, and those set aside. */
  get committedBytes (): number { return this.#setAside + this.#loose }

  get budgetBytes (): number { return this.#options.budgetBytes }

  /** Uploads that wait for memory now. */
  get waiting (): number { return this.#queue.length }

  open (borrower: Borrower): MemoryLease {
    const lease = new MemoryLease(this, borrower)
    this.#leases.add(lease)
    return lease
  }

  /** @internal */
  request (lease: MemoryLease, bytes: number, granted: () => void): boolean {
    if (this.#grant(lease, bytes, !this.#queue.some(waiter => isOverdue(waiter)))) return true
    const slow = isSlow(lease)
    const firstSlow = slow ? -1 : this.#queue.findIndex(waiter => waiter.slow)
    this.#queue.splice(firstSlow < 0 ? this.#queue.length : firstSlow, 0, { lease, bytes, since: performance.now(), slow, granted })
    this.#timer ??= setInterval(() => this.#review(), PATIENCE_MS).unref()
    return false
  }

  /** @internal */
  stopWaiting (lease: MemoryLease): void {
    this.#queue = this.#queue.filter(waiter => waiter.lease !== lease)
    this.#serve()
  }

  /** @internal */
  takesNoMore (lease: MemoryLease): void {
    if (lease.complete) return
    lease.complete = true
    if (!lease.admitted) return
    this.#setAside -= lease.claim - lease.held
    lease.claim = lease.held
    this.#serve()
  }

  /** @internal */
  giveBack (lease: MemoryLease, bytes: number): void {
    lease.held -= bytes
    if (!lease.admitted) {
      this.#loose -= bytes
    } else if (lease.complete) {
      this.#setAside -= bytes
      lease.claim -= bytes
    }
    this.#serve()
  }

  /** @internal */
  close (lease: MemoryLease): void {
    if (!this.#leases.delete(lease)) return
    this.#queue = this.#queue.filter(waiter => waiter.lease !== lease)
    if (lease.admitted) this.#setAside -= lease.claim
    else this.#loose -= lease.held
    lease.held = 0
    this.#serve()
  }

  #grant (lease: MemoryLease, bytes: number, inTurn: boolean): boolean {
    if (!lease.admitted) {
      if (this.committedBytes + bytes > this.#options.budgetBytes) return false
      // The first small buffer is never far: a small file must not wait behind all the large ones.
      if ((inTurn || lease.held === 0) && this.#payLoose(lease, bytes)) return true
      if (!inTurn || !this.#admit(lease, bytes)) return false
    }
    // One that needs more than could be set aside goes on when it has paid back some.
    if (lease.held + bytes > lease.claim) return false
    lease.held += bytes
    return true
  }

  #payLoose (lease: MemoryLease, bytes: number): boolean {
    if (lease.held > 0 && !isSlow(lease)) return false
    if (this.#loose + bytes > this.#looseLimit) return false
    this.#loose += bytes
    lease.held += bytes
    return true
  }

  #admit (lease: MemoryLease, bytes: number): boolean {
    const claim = this.#claimOf(lease, bytes)
    if (this.committedBytes - lease.held + claim > this.#options.budgetBytes) return false
    this.#loose -= lease.held
    this.#setAside += claim
    lease.claim = claim
    lease.admitted = true
    lease.demoted = false
    return true
  }

  #claimOf (lease: MemoryLease, bytes: number): number {
    return Math.max(lease.held, Math.min(Math.max(lease.held + bytes, lease.borrower.need), this.#options.largestNeedBytes))
  }

  #serve (): void {
    const now = performance.now()
    const granted: Waiter[] = []
    let barred = false
    if (this.#queue.length > 0) {
      this.#queue = this.#queue.filter(waiter => {
        if (this.#grant(waiter.lease, waiter.bytes, !barred)) {
          granted.push(waiter)
          return false
        }
        barred ||= isOverdue(waiter, now)
        return true
      })
    }
    if (this.#queue.length === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
    }
    for (const waiter of granted) waiter.granted()
  }

  /** Once a second while somebody waits. */
  #review (): void {
    const first = this.#queue.find(waiter => isOverdue(waiter))
    if (first === undefined) return
    for (const lease of this.#leases) if (lease.admitted && isSlow(lease)) this.#demote(lease)
    this.#serve()
    if (this.#queue.includes(first)) this.#makeRoomFor(first)
  }

  #demote (lease: MemoryLease): void {
    this.#setAside -= lease.claim
    this.#loose += lease.held
    lease.admitted = false
    lease.demoted = true
  }

  #makeRoomFor (first: Waiter): void {
    let missing = this.#missing(first)
    // One that was slow and is not any more holds others up only where nobody else will give anything back.
    const endable = [...this.#leases].filter(lease => lease !== first.lease && lease.held > 0 &&
      (isSlow(lease) || (lease.demoted && this.#setAside === 0)))
    // Where it would not fit all the same, it has to wait for others anyway.
    if (endable.reduce((sum, lease) => sum + paidFor(lease), 0) < missing) return
    endable.sort((a, b) => (a.borrower.rate() ?? Infinity) - (b.borrower.rate() ?? Infinity))
    for (const lease of endable) {
      if (missing <= 0) return
      missing -= paidFor(lease)
      if (lease.ended) continue
      lease.ended = true
      lease.borrower.end()
    }
  }

  /** Bytes that must become free before a waiter is served. */
  #missing ({ lease, bytes }: Waiter): number {
    const { budgetBytes } = this.#options
    const toAdmit = this.committedBytes - lease.held + this.#claimOf(lease, bytes) - budgetBytes
    if (lease.held > 0 && !isSlow(lease)) return toAdmit
    return Math.min(toAdmit, Math.max(this.#loose + bytes - this.#looseLimit, this.committedBytes + bytes - budgetBytes))
  }
}

/** One that was admitted waits for what it will itself pay back, so nobody has to make room for it. */
function isOverdue ({ lease, since }: Waiter, now = performance.now()): boolean {
  return !lease.admitted && now - since >= PATIENCE_MS
}

/** What others can have when this one is gone. */
function paidFor (lease: MemoryLease): number {
  return lease.admitted ? lease.claim : lease.held
}

function isSlow (lease: MemoryLease): boolean {
  return (lease.borrower.rate() ?? Infinity) < SLOW_BYTES_PER_SECOND
}

/** One upload's part of the account. */
export class MemoryLease {
  readonly #account: MemoryAccount
  #closed = false
  /** @internal */
  readonly borrower: Borrower
  /** @internal */
  held = 0
  /** What was set aside, `held` included, while `admitted`. @internal */
  claim = 0
  /** @internal */
  admitted = false
  /** It was slow while others waited, and is not admitted again. @internal */
  demoted = false
  /** It takes no more. @internal */
  complete = false
  /** @internal */
  ended = false

  constructor (account: MemoryAccount, borrower: Borrower) {
    this.#account = account
    this.borrower = borrower
  }

  /**
   * Takes `bytes` out of the account: true where that is done at once, else `granted` is called when it is; never after
   * {@link close}. One at a time.
   */
  take (bytes: number, granted: () => void): boolean {
    return this.#account.request(this, bytes, granted)
  }

  /** Takes a {@link take} back that was not granted yet. */
  stopWaiting (): void {
    this.#account.stopWaiting(this)
  }

  /** Says that this upload has all it needs: what was set aside beyond that is for others. */
  takesNoMore (): void {
    if (!this.#closed) this.#account.takesNoMore(this)
  }

  /** Pays `bytes` back. */
  give (bytes: number): void {
    if (!this.#closed) this.#account.giveBack(this, bytes)
  }

  /** Pays everything back and stops waiting. */
  close (): void {
    this.#closed = true
    this.#account.close(this)
  }
}
