/** What the account must know of an upload that wants memory. */
export interface Borrower {
  /** Most bytes that the upload will hold at once, as far as is known now. */
  need (): number
  /** Bytes per second of its client while the service read, lately; undefined while too little has been seen. */
  rate (): number | undefined
  /** Ends the upload, which must close its lease soon: its client is slow and others wait for its memory. */
  end (): void
}

export interface MemoryAccountOptions {
  /** Bound on the bytes of all uploads together. */
  readonly budgetBytes: number
  /** Most that one upload may need; at most the budget. */
  readonly largestNeedBytes: number
}

interface Waiter {
  readonly lease: MemoryLease
  readonly bytes: number
  readonly since: number
  readonly granted: () => void
}

/** A client below this can't expect others to wait for it: 64 KiB/s. */
export const SLOW_BYTES_PER_SECOND = 65_536
const PATIENCE_MS = 1_000

/**
 * The one account out of which all uploads' buffers are paid.
 *
 * An upload that has shown to be fast is *admitted*: all that it may come to need is set aside at once, so that it can
 * always go on, up to its end, whatever the others do. Uploads that don't fit wait, oldest first; a smaller one may
 * pass while the first has waited less than a second. Without admission many uploads would each take a little, and none
 * could finish.
 *
 * Uploads that are new, or slow, only pay for what they hold (*loose*), out of a share that always leaves room for one
 * admitted upload. While others wait longer than a second, slow ones lose what was set aside for them, and then, slowest
 * first, are ended until the first in the queue fits.
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
    if (this.#grant(lease, bytes, this.#queue.length === 0)) return true
    this.#queue.push({ lease, bytes, since: performance.now(), granted })
    this.#timer ??= setInterval(() => this.#review(), PATIENCE_MS).unref()
    this.#serve()
    return false
  }

  /** @internal */
  stopWaiting (lease: MemoryLease): void {
    this.#queue = this.#queue.filter(waiter => waiter.lease !== lease)
    this.#serve()
  }

  /** @internal */
  giveBack (lease: MemoryLease, bytes: number): void {
    lease.held -= bytes
    if (!lease.admitted) this.#loose -= bytes
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
      // The first small buffer is never far: a small file must not wait behind all the large ones.
      if ((inTurn || lease.held === 0) && this.#payLoose(lease, bytes)) return true
      if (!inTurn || isSlow(lease)) return false
      const claim = Math.min(Math.max(lease.held + bytes, lease.borrower.need()), this.#options.largestNeedBytes)
      if (this.#setAside + this.#loose - lease.held + claim > this.#options.budgetBytes) return false
      this.#loose -= lease.held
      this.#setAside += claim
      lease.claim = claim
      lease.admitted = true
      lease.demoted = false
    }
    lease.held += bytes
    return true
  }

  #payLoose (lease: MemoryLease, bytes: number): boolean {
    if (lease.held > 0 && !isSlow(lease)) return false
    if (this.#loose + bytes > this.#looseLimit || this.#setAside + this.#loose + bytes > this.#options.budgetBytes) return false
    this.#loose += bytes
    lease.held += bytes
    return true
  }

  #serve (): void {
    if (this.#queue.length === 0) return
    const now = performance.now()
    const left: Waiter[] = []
    let barred = false
    for (const waiter of this.#queue) {
      if (this.#grant(waiter.lease, waiter.bytes, !barred)) {
        waiter.granted()
        continue
      }
      barred ||= now - waiter.since >= PATIENCE_MS
      left.push(waiter)
    }
    this.#queue = left
    if (left.length > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Once a second while somebody waits. */
  #review (): void {
    for (const lease of this.#leases) {
      if (!lease.admitted || !isSlow(lease)) continue
      this.#setAside -= lease.claim
      this.#loose += lease.held
      lease.admitted = false
      lease.demoted = true
    }
    this.#serve()
    const first = this.#queue[0]
    if (first === undefined || performance.now() - first.since < PATIENCE_MS) return
    const need = isSlow(first.lease) ? first.bytes : Math.min(first.lease.borrower.need(), this.#options.largestNeedBytes)
    let missing = this.#setAside + this.#loose - first.lease.held + need - this.#options.budgetBytes
    missing = Math.max(missing, isSlow(first.lease) ? this.#loose + first.bytes - this.#looseLimit : 0)
    const slow = [...this.#leases].filter(lease => lease.held > 0 && (lease.demoted || isSlow(lease)) && lease !== first.lease)
      .sort((a, b) => (a.borrower.rate() ?? Infinity) - (b.borrower.rate() ?? Infinity))
    for (const lease of slow) {
      if (missing <= 0) return
      missing -= lease.held
      if (!lease.ended) {
        lease.ended = true
        lease.borrower.end()
      }
    }
  }
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
  /** @internal */
  claim = 0
  /** @internal */
  admitted = false
  /** @internal */
  demoted = false
  /** @internal */
  ended = false

  constructor (account: MemoryAccount, borrower: Borrower) {
    this.#account = account
    this.borrower = borrower
  }

  /**
   * Takes `bytes` out of the account: true where that is done at once, else `granted` is called when it is; never after
   * {@link close}.
   */
  take (bytes: number, granted: () => void): boolean {
    return this.#account.request(this, bytes, granted)
  }

  /** Takes a {@link take} back that was not granted yet. */
  stopWaiting (): void {
    this.#account.stopWaiting(this)
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
