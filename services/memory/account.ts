import { FinishOrder } from './finish-order.ts'
import { MemoryLease } from './lease.ts'
import type { Borrower, LeasePlace, LeaseStage } from './lease.ts'
import { bars, beginsTurn, FIRST_BYTES, hasBegun, inOrder, isStillSmall, isSurelySmall, mayBar, PATIENCE_MS, SMALL_BYTES } from './waiting.ts'
import type { Waiter } from './waiting.ts'

export type { Borrower, MemoryLease }

export interface MemoryAccountOptions {
  /** Bound on the bytes of all uploads together; one window and two parts at least. */
  readonly budgetBytes: number
  /** Replay window of one upload. */
  readonly windowBytes: number
  readonly partBytes: number
  /** Whether an upload can do without its window: then it keeps one only as long as nobody waits for the memory. Default false. */
  readonly givesBackEarly?: boolean
}

/** In which order uploads of the room can finish: all, and those that last and those that don't on their own. */
type Orders = Record<'all' | 'lasting' | 'quick', FinishOrder>

/** A client below this can't expect others to wait for it: 64 KiB/s. */
export const SLOW_BYTES_PER_SECOND = 65_536
/** An upload that can fill what it may take within this time does not last, as far as others are concerned. */
export const LASTING_SECONDS = 10
/** A form's own bytes may make it larger than its file: it is small until it has more. */
export const MAYBE_SMALL_BYTES = 2 * SMALL_BYTES

/**
 * The one account out of which all uploads' buffers are paid.
 *
 * *Small* uploads have an eighth of the budget to themselves, so they never wait for larger ones. Nobody can tell yet of one
 * whose length is not known: it counts as small until it has more than 1 MiB.
 *
 * The rest is the *room* of larger ones. Each takes memory until it comes to the point where it gives back: its window, and once that is
 * outgrown one part at a time. If uploads can do without their windows, that is one part from the beginning: as soon as somebody waits, they
 * are asked for what they *keep* of their windows, those that keep most first. A buffer is given only if all can still come to that point
 * one after the other ({@link FinishOrder}), so something always moves. Two rules more keep those whose clients are not fast from holding up the others:
 *
 * - Those that *last* longer than ten seconds at their present rate leave room for one that doesn't.
 * - The others begin only if they can finish without waiting for one that lasts.
 *
 * Clients below 64 KiB/s count only as long as nobody waits. Then they are ended, slowest first, if that helps.
 */
export class MemoryAccount {
  readonly budgetBytes: number
  readonly #partBytes: number
  readonly #givesBackEarly: boolean
  /** Most that one upload keeps until it gives back: its window in whole parts, or in pieces for a local file. */
  readonly #longestTurn: number
  readonly #share: number
  readonly #room: number
  /** What those may hold together that wait in the room. */
  readonly #waitingRoom: number
  /** What those of the room that last may hold together. */
  readonly #lastingRoom: number
  readonly #leases = new Set<MemoryLease>()
  #queue: Waiter[] = []
  #timer: NodeJS.Timeout | undefined
  // Sums over all leases that are counted.
  #shared = 0
  #sharedMaybe = 0
  #held = 0
  #lasting = 0
  #waiting = 0
  #toGo = 0
  #kept = 0
  /** Made of the leases when they are asked for. */
  #made: Orders | undefined

  constructor ({ budgetBytes, windowBytes, partBytes, givesBackEarly = false }: MemoryAccountOptions) {
    this.budgetBytes = budgetBytes
    this.#partBytes = partBytes
    this.#givesBackEarly = givesBackEarly
    this.#longestTurn = givesBackEarly ? partBytes : Math.max(Math.ceil(windowBytes / partBytes) * partBytes, windowBytes + SMALL_BYTES)
    this.#share = Math.min(budgetBytes / 8, budgetBytes - this.#longestTurn)
    this.#room = budgetBytes - this.#share
    this.#waitingRoom = this.#room / 8
    this.#lastingRoom = Math.max(this.#longestTurn, this.#room - this.#longestTurn - this.#waitingRoom)
  }

  /** Bytes that uploads hold now. */
  get heldBytes (): number { return this.#shared + this.#held }

  /** Bytes held, and those that uploads will take within ten seconds at their present rates. */
  get committedBytes (): number {
    let committed = this.heldBytes
    for (const lease of this.#leases) committed += Math.min(this.#toGoOf(lease), (lease.borrower.rate() ?? Infinity) * LASTING_SECONDS)
    return Math.min(this.budgetBytes, committed)
  }

  /** Uploads that wait for memory now. */
  get waiting (): number { return this.#queue.length }

  /** Whether not all that is under way can have all that it may take at once. */
  get isShort (): boolean { return this.#queue.length > 0 || this.#wanted > this.#room }

  /** Whether nobody should have more than he can soon use: whole parts for new clients that turn out slow would keep others waiting for minutes. */
  get isCrowded (): boolean { return this.isShort || this.#wanted > (this.#givesBackEarly ? this.#room / 4 : this.#room) }

  get #wanted (): number { return this.#held - this.#kept + this.#toGo }

  open (borrower: Borrower): MemoryLease {
    const { need, isBackground = false } = borrower
    const isSmall = !isBackground && (need <= MAYBE_SMALL_BYTES || need === Infinity)
    const lease = new MemoryLease(this, borrower, isSmall ? 'share' : 'room', this.#partBytes)
    this.#leases.add(lease)
    return lease
  }

  /** @internal */
  request (lease: MemoryLease, bytes: number, granted: () => void): boolean {
    this.#look(lease)
    const now = performance.now()
    const oldest = this.#queue.find(waiter => mayBar(waiter, now))
    if (this.#grant(lease, bytes, oldest !== undefined && bars(oldest, now))) return true
    this.#queue.push({ lease, bytes, since: now, granted })
    this.#askBack()
    this.#timer ??= setInterval(() => this.#review(), PATIENCE_MS).unref()
    return false
  }

  /** @internal */
  stopWaiting (lease: MemoryLease): void {
    this.#queue = this.#queue.filter(waiter => waiter.lease !== lease)
    this.#serve()
  }

  /** @internal */
  goOn (lease: MemoryLease, stage: LeaseStage, filling: number): void {
    this.#change(lease, () => {
      lease.stage = stage
      lease.filling = filling
    })
    this.#serve()
  }

  /** @internal */
  handOver (lease: MemoryLease): void {
    if (lease.stage === 'parts' ? lease.filling > 0 : this.#givesBackEarly && lease.stage === 'window') this.goOn(lease, 'parts', 0)
  }

  /** @internal */
  usesParts (lease: MemoryLease, bytes: number): void {
    this.#change(lease, () => { lease.partBytes = bytes })
  }

  /** @internal */
  keep (lease: MemoryLease, bytes: number): void {
    if (!this.#givesBackEarly) return
    this.#change(lease, () => { lease.kept += bytes })
    if (this.#queue.length > 0) this.#askBack()
  }

  /** @internal */
  giveBack (lease: MemoryLease, bytes: number): void {
    this.#change(lease, () => { lease.held -= bytes })
    this.#serve()
  }

  /** @internal */
  close (lease: MemoryLease): void {
    this.#change(lease, () => {
      lease.stage = 'closed'
      lease.held = lease.filling = lease.kept = 0
    })
    this.#leases.delete(lease)
    this.stopWaiting(lease)
  }

  #change (lease: MemoryLease, change: () => void): void {
    this.#count(lease, -1)
    change()
    this.#count(lease, 1)
  }

  #count (lease: MemoryLease, sign: 1 | -1): void {
    this.#kept += sign * lease.kept
    if (lease.place === 'share') {
      this.#shared += sign * lease.held
      if (!isSurelySmall(lease)) this.#sharedMaybe += sign * lease.held
      return
    }
    this.#made = undefined
    this.#held += sign * lease.held
    this.#toGo += sign * this.#toGoOf(lease)
    if (!hasBegun(lease)) this.#waiting += sign * lease.held
    else if (lease.isLasting) this.#lasting += sign * lease.held
  }

  /** Bytes that it may take until it comes to the point where it gives back; 0 for one that has not begun. */
  #toGoOf (lease: MemoryLease): number {
    if (lease.held === 0) return 0
    if (lease.stage === 'parts') return lease.filling === 0 ? 0 : Math.max(0, lease.partBytes - lease.filling)
    return lease.stage === 'window' ? Math.max(0, this.#turnOf(lease) - lease.held) : 0
  }

  #turnOf ({ partBytes, borrower: { need } }: MemoryLease): number {
    return Math.min(need, this.#givesBackEarly ? partBytes : this.#longestTurn)
  }

  /** Has those that keep most let go of it, until that is as much as clients wait for. Promotions can wait. */
  #askBack (): void {
    if (this.#kept === 0) return
    let wanted = this.#queue.reduce((sum, { lease, bytes }) => lease.borrower.isBackground === true ? sum : sum + bytes, 0)
    for (const lease of [...this.#leases].filter(({ kept }) => kept > 0).sort((a, b) => Number(b.isAsked) - Number(a.isAsked) || b.kept - a.kept)) {
      if (wanted <= 0) return
      wanted -= lease.kept
      if (lease.isAsked) continue
      lease.isAsked = true
      lease.borrower.letGo?.()
    }
  }

  /** The same with `bytes` that it asks for, if these go to the room. */
  #toGoWith (lease: MemoryLease, bytes: number): number {
    const kept = lease.stage === 'parts' ? lease.filling : lease.place === 'share' ? 0 : lease.held
    return Math.max(bytes, (lease.stage === 'parts' ? lease.partBytes : this.#turnOf(lease)) - kept)
  }

  #look (lease: MemoryLease): void {
    const rate = lease.borrower.isBackground === true ? Infinity : lease.borrower.rate() ?? Infinity
    const isLasting = this.#toGoWith(lease, 0) > rate * LASTING_SECONDS
    lease.isSlow = rate < SLOW_BYTES_PER_SECOND
    if (isLasting !== lease.isLasting) this.#change(lease, () => { lease.isLasting = isLasting })
  }

  /** Pays if it may. */
  #grant (lease: MemoryLease, bytes: number, isBarred: boolean): boolean {
    if (lease.place === 'share' && this.#fitsShare(lease, bytes)) return this.#pay(lease, bytes, 'share')
    // Nothing is gained by keeping anybody back while none goes on that will soon give back.
    const mustWait = isBarred && beginsTurn(lease, bytes) && this.#somebodyQuickGoesOn()
    if (!mustWait && this.#fitsRoom(lease, bytes)) return this.#pay(lease, bytes, 'room')
    if (lease.place === 'room' || isSurelySmall(lease)) return false
    // One that turns out large makes way for small ones while it waits; one that may be small still gets what that takes.
    const more = lease.held + bytes <= SMALL_BYTES ? bytes : 0
    if (more === 0 && lease.place === 'parked') return false
    return this.#canPark(lease, more) && this.#pay(lease, more, 'parked') && more > 0
  }

  #pay (lease: MemoryLease, bytes: number, place: LeasePlace): true {
    this.#change(lease, () => {
      lease.place = place
      lease.held += bytes
      if (lease.stage === 'parts') lease.filling += bytes
    })
    return true
  }

  #fitsShare (lease: MemoryLease, bytes: number): boolean {
    if (!isStillSmall(lease, bytes) || this.#shared + bytes > this.#share) return false
    // Those that may turn out large leave half of it to those that can't. The more they have, the more of their half they leave to others.
    const doublings = Math.log2(Math.max(1, (lease.held + bytes) / FIRST_BYTES))
    return isSurelySmall(lease) || this.#sharedMaybe + bytes <= this.#share / 2 * (1 - doublings / 6)
  }

  #fitsRoom (lease: MemoryLease, bytes: number): boolean {
    const more = bytes + (lease.place === 'share' ? lease.held : 0)
    if (this.#held + more > this.#room) return false
    if (lease.held + bytes <= FIRST_BYTES && this.#waiting + more > this.#waitingRoom) return false
    const toGo = this.#toGoWith(lease, more)
    if (!lease.isLasting && this.#held + this.#toGo + toGo <= this.#room) return true
    const { all, lasting, quick } = this.#orders()
    if (!all.allows(more, toGo)) return false
    const keepsRules = lease.isLasting ? lasting.allows(more, toGo) && more <= quick.spare : quick.allows(more, toGo)
    if (keepsRules) return true
    // Rates change, and then the rules may be broken already: so that something moves, the one that can finish first goes on.
    return !this.#somebodyQuickGoesOn() && all.isFirst(toGo)
  }

  /** Whether those that don't last can finish, so that they will soon give back. */
  #somebodyQuickGoesOn (): boolean {
    const { quick } = this.#orders()
    return !quick.isEmpty && quick.spare >= 0
  }

  #canPark (lease: MemoryLease, bytes: number): boolean {
    const { all, quick } = this.#orders()
    const more = bytes + (lease.place === 'share' ? lease.held : 0)
    return this.#waiting + more <= this.#waitingRoom && more <= quick.spare && all.allows(more, this.#toGoWith(lease, more))
  }

  #orders (): Orders {
    this.#made ??= {
      all: this.#orderOf(this.#room - this.#held, () => true),
      lasting: this.#orderOf(this.#lastingRoom - this.#lasting, lease => lease.isLasting && hasBegun(lease)),
      quick: this.#orderOf(this.#room - this.#held, lease => !lease.isLasting && hasBegun(lease)),
    }
    return this.#made
  }

  #orderOf (free: number, isIn: (lease: MemoryLease) => boolean): FinishOrder {
    const turns = [...this.#leases].filter(lease => lease.place !== 'share' && lease.held > 0 && !lease.isEnded && isIn(lease))
    return new FinishOrder(free, turns.map(lease => ({ held: lease.held, toGo: this.#toGoOf(lease) })))
  }

  #serve (): void {
    if (this.#queue.length === 0) return this.#stopTimer()
    const granted = new Set<Waiter>()
    const none = { toGo: Infinity, bytes: Infinity }
    const failed = { first: { ...none }, lasting: { ...none }, quick: { ...none } }
    const now = performance.now()
    let isBarred = false
    for (const waiter of inOrder(this.#queue)) {
      const { lease, bytes } = waiter
      const begins = beginsTurn(lease, bytes)
      // One of many that want the same is enough to see that there is none.
      const last = failed[lease.held + bytes <= FIRST_BYTES ? 'first' : lease.isLasting ? 'lasting' : 'quick']
      const toGo = this.#toGoWith(lease, bytes)
      if (begins && toGo >= last.toGo && bytes >= last.bytes) continue
      if (this.#grant(lease, bytes, isBarred)) {
        granted.add(waiter)
        continue
      }
      if (!begins) continue
      Object.assign(last, { toGo, bytes })
      isBarred ||= mayBar(waiter, now) && bars(waiter, now)
    }
    if (granted.size === 0) return
    this.#queue = this.#queue.filter(waiter => !granted.has(waiter))
    if (this.#queue.length === 0) this.#stopTimer()
    for (const waiter of granted) waiter.granted()
  }

  #stopTimer (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Once a second while somebody waits. */
  #review (): void {
    for (const lease of this.#leases) this.#look(lease)
    this.#serve()
    const now = performance.now()
    const overdue = inOrder(this.#queue).filter(waiter => mayBar(waiter, now))
    for (const waiter of [overdue.find(({ lease, bytes }) => isStillSmall(lease, bytes)), overdue.find(({ lease, bytes }) => !isStillSmall(lease, bytes))]) {
      if (waiter !== undefined) this.#makeRoomFor(waiter)
    }
  }

  /** Ends slow uploads, slowest first, and no more than it takes; none if that would not help. */
  #makeRoomFor (waiter: Waiter): void {
    const slow = [...this.#leases].filter(lease => lease !== waiter.lease && lease.held > 0 && lease.isSlow)
      .sort((a, b) => Number(b.isEnded) - Number(a.isEnded) || a.borrower.rate()! - b.borrower.rate()!)
    const told = slow.filter(({ isEnded }) => isEnded).length
    let [least, most] = [told, slow.length + 1]
    while (least < most) {
      const middle = (least + most) >> 1
      if (middle > slow.length || this.#wouldFit(waiter, slow.slice(0, middle))) most = middle
      else least = middle + 1
    }
    if (least > slow.length) return
    for (const lease of slow.slice(told, least)) {
      lease.isEnded = true
      lease.borrower.end()
    }
  }

  #wouldFit ({ lease, bytes }: Waiter, gone: readonly MemoryLease[]): boolean {
    if (gone.length === 0) return false
    for (const each of gone) {
      this.#count(each, -1)
      this.#leases.delete(each)
    }
    const fits = (lease.place === 'share' && this.#fitsShare(lease, bytes)) || this.#fitsRoom(lease, bytes)
    for (const each of gone) {
      this.#leases.add(each)
      this.#count(each, 1)
    }
    return fits
  }
}
