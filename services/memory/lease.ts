/** What the account must know of an upload that wants memory. */
export interface Borrower {
  /** Most bytes that the upload will hold at once; Infinity if that is not known. */
  readonly need: number
  /** No client waits for it: it comes after all others, and is never ended. */
  readonly isBackground?: boolean
  /** Bytes per second of its client while the service read, lately; undefined while too little has been seen. */
  rate (): number | undefined
  /** Ends the upload, which must close its lease soon: its client is slow and others wait for its memory. */
  end (): void
  /** Gives back soon what it keeps, and from then on keeps nothing: others wait for it. */
  letGo? (): void
}

/**
 * How an upload comes to the point where it gives memory back: by its `window`, which it keeps until that is outgrown or the
 * file is complete; by `parts`, each of which comes back once it is stored; or by nothing more that it `needs`.
 */
export type LeaseStage = 'window' | 'parts' | 'complete' | 'closed'

/**
 * Out of what an upload is paid: the `share` of small ones or the `room` of larger ones. One that turned out large and has to wait for
 * its turn is `parked` in the room, out of the small ones' way.
 */
export type LeasePlace = 'share' | 'parked' | 'room'

/** What a lease asks of the account that it is part of. */
interface Lender {
  readonly isShort: boolean
  readonly isCrowded: boolean
  request (lease: MemoryLease, bytes: number, granted: () => void): boolean
  stopWaiting (lease: MemoryLease): void
  goOn (lease: MemoryLease, stage: LeaseStage, filling: number): void
  handOver (lease: MemoryLease): void
  usesParts (lease: MemoryLease, bytes: number): void
  keep (lease: MemoryLease, bytes: number): void
  giveBack (lease: MemoryLease, bytes: number): void
  close (lease: MemoryLease): void
}

/** One upload's part of the account. */
export class MemoryLease {
  readonly #account: Lender
  /** @internal */
  readonly borrower: Borrower
  /** @internal */
  stage: LeaseStage = 'window'
  /** @internal */
  place: LeasePlace
  /** Its client needs more than ten seconds to fill what it may still take, as it was last looked at. @internal */
  isLasting = false
  /** Its client is below 64 KiB/s, as it was last looked at. @internal */
  isSlow = false
  /** Bytes that it holds. @internal */
  held = 0
  /** Of the part that is being filled, once it goes by parts. @internal */
  filling = 0
  /** Bytes of those that it holds and could do without. @internal */
  kept = 0
  /** It was told to let go of them. @internal */
  isAsked = false
  /** It was told to end. @internal */
  isEnded = false
  /** Bytes of its parts. @internal */
  partBytes: number

  constructor (account: Lender, borrower: Borrower, place: LeasePlace, partBytes: number) {
    this.#account = account
    this.borrower = borrower
    this.place = place
    this.partBytes = partBytes
  }

  /** Whether memory is short: others wait, or soon will. */
  get isShort (): boolean { return this.#account.isShort }

  /** Whether memory may become short: buffers should not be larger than they need to be. */
  get isCrowded (): boolean { return this.#account.isCrowded }

  /**
   * Takes `bytes` out of the account: true if that is done at once, else `granted` is called when it is; never after
   * {@link close}. One at a time.
   */
  take (bytes: number, granted: () => void): boolean {
    return this.#account.request(this, bytes, granted)
  }

  /** Takes a {@link take} back that was not granted yet. */
  stopWaiting (): void {
    this.#account.stopWaiting(this)
  }

  /** Says that the window is outgrown: from now on each part is given back when it is stored. `filling` bytes are of one that is being filled. */
  goByParts (filling: number): void {
    if (this.stage === 'window') this.#account.goOn(this, 'parts', filling)
  }

  /** Says that the part that was filled is on its way to a store. */
  handOver (): void {
    if (this.stage !== 'closed') this.#account.handOver(this)
  }

  /** Says that this upload has all the memory it needs. */
  takesNoMore (): void {
    if (this.stage !== 'closed') this.#account.goOn(this, 'complete', 0)
  }

  /** Says that its parts have this size. */
  usesParts (bytes: number): void {
    this.#account.usesParts(this, bytes)
  }

  /** Says that it could do without so many bytes more, or less, of those that it holds. */
  keep (bytes: number): void {
    if (this.stage !== 'closed') this.#account.keep(this, bytes)
  }

  /** Pays `bytes` back. */
  give (bytes: number): void {
    if (this.stage !== 'closed') this.#account.giveBack(this, bytes)
  }

  /** Pays everything back and stops waiting. */
  close (): void {
    if (this.stage !== 'closed') this.#account.close(this)
  }
}
