import type { Socket } from 'node:net'
import { arrivedBytes, handedOver } from './send-queues.ts'

// What sockets and proxies take in advance says nothing about the line.
export const TAKEN_IN_ADVANCE_BYTES = 262_144 // 256 KiB
// Less is no movement.
const LEAST_BYTES = 1_024
// After a longer one nothing is known of the time before.
const LONGEST_GAP_MS = 2_000
const SHORTEST_LOOK_MS = 50
// The rate is that of so much time, and known after less if so much of each body has arrived.
const TELLING_MS = 800
const MEAN_MS = 5_000
const STEADY_MS = 1_500
const TELLING_BYTES = 1_048_576 // 1 MiB

/** The upload that a body belongs to. */
export interface BodyOwner {
  /** Whether no client waits for it. */
  readonly isBackground: boolean
  /** Whether B2 has acknowledged something of it. */
  readonly hasBegun: boolean
  /** When it gives up if nothing is acknowledged until then, in the time of `performance.now()`; Infinity for never. */
  readonly deadline: number
}

/** A body that is to be sent. */
export interface Body {
  readonly bytes: number
  readonly owner: BodyOwner
}

/** One body on its way to B2. */
export class Sending implements Body {
  readonly bytes: number
  readonly owner: BodyOwner
  readonly since = performance.now()
  movedAt: number
  /** How much of it is known to have arrived. */
  arrived = 0
  /** How much of it had arrived at {@link movedAt}. */
  #movedBytes = 0
  #socket: Socket | undefined
  /** What had gone over the socket before. */
  #base = 0

  constructor ({ bytes, owner }: Body, movedAt: number) {
    this.bytes = bytes
    this.owner = owner
    this.movedAt = movedAt
  }

  /** Whether all of it has arrived, at the latest in a proxy. */
  get hasArrived (): boolean { return this.arrived === this.bytes }

  /** What the line may still have to carry. */
  get left (): number { return this.bytes - this.counted }

  get socket (): Socket | undefined { return this.#socket }

  /** What says something about the line. */
  get counted (): number { return Math.max(0, this.arrived - TAKEN_IN_ADVANCE_BYTES) }

  /** It is sent over `socket` from now on, over which others were sent before if `isReused`. */
  connected (socket: Socket, isReused: boolean): void {
    this.#socket = socket
    this.#base = isReused ? handedOver(socket) : 0
  }

  /** Notes what has arrived over its socket in all. */
  note (overSocket: number): void {
    this.arrived = Math.max(this.arrived, Math.min(this.bytes, overSocket - this.#base))
    if (this.arrived - this.#movedBytes < LEAST_BYTES) return
    this.#movedBytes = this.arrived
    this.movedAt = performance.now()
  }
}

/** The line to B2, by what arrives of the bodies that are sent over it. */
export class Line {
  readonly sending = new Set<Sending>()
  #rate = 0
  #meanRate = 0
  /** Milliseconds of looking in which something was sent. */
  #busyMs = 0
  #movedAt = -Infinity
  /** Since when nothing is known to have moved, though something could. */
  #stillSince = 0
  /** All that counts of what has arrived so far. */
  #counted = 0
  /** Since when as many bodies are under way as now, and what had arrived then. */
  #steady = { since: 0, bodies: 0, counted: 0 }
  /** What had arrived at the looks of the last {@link MEAN_MS}. */
  #looks: { at: number, counted: number }[] = []
  #lookedAt = -Infinity
  #looking: Promise<void> | undefined

  /** Bytes a millisecond of all bodies together; 0 while it is not known. */
  get rate (): number { return this.#isWatched ? this.#rate : 0 }

  /** The same of a longer time, as what is acknowledged comes in steps. */
  get meanRate (): number { return this.#isWatched ? this.#meanRate : 0 }

  get #isWatched (): boolean { return performance.now() - this.#lookedAt <= LONGEST_GAP_MS }

  /** Bytes of all bodies that are being sent. */
  get underWay (): number { return sum(this.sending, ({ bytes }) => bytes) }

  /** What the line may still have to carry of them. */
  get left (): number { return sum(this.sending, ({ left }) => left) }

  /** Whether nothing moved for `ms`, as far as somebody looked, though there was something to move. */
  standsStill (ms: number): boolean {
    return this.sending.size > 0 && this.#isWatched && performance.now() - Math.max(this.#movedAt, this.#stillSince) > ms
  }

  begin (body: Body): Sending {
    if (this.sending.size === 0) this.#stillSince = performance.now()
    const own = new Sending(body, this.#movedAt)
    this.sending.add(own)
    return own
  }

  /** False if it has ended before. */
  end (own: Sending, isAcknowledged: boolean): boolean {
    if (!this.sending.delete(own)) return false
    if (isAcknowledged) {
      this.#movedAt = performance.now()
      this.#counted += own.bytes - own.counted
    }
    return true
  }

  /** {@link rate} since as many bodies are under way as now; 0 if that is not long enough to tell. */
  get steadyRate (): number {
    const elapsed = this.#lookedAt - this.#steady.since
    return elapsed < STEADY_MS ? 0 : (this.#counted - this.#steady.counted) / elapsed
  }

  /** Looks what has arrived since the last look. Who asks during a look, or right after one, shares it. */
  async look (): Promise<void> {
    if (performance.now() - this.#lookedAt < SHORTEST_LOOK_MS) return
    this.#looking ??= this.#look().finally(() => { this.#looking = undefined })
    await this.#looking
  }

  async #look (): Promise<void> {
    const sending = [...this.sending].filter(({ socket }) => socket !== undefined)
    const totals = await arrivedBytes(sending.map(({ socket }) => socket!))
    for (const [index, each] of sending.entries()) {
      const total = totals[index]
      if (total === undefined || !this.sending.has(each)) continue
      const before = each.counted
      each.note(total)
      this.#counted += each.counted - before
      this.#movedAt = Math.max(this.#movedAt, each.movedAt)
    }
    const now = performance.now()
    const sinceLook = now - this.#lookedAt
    this.#lookedAt = now
    const isGap = sinceLook > LONGEST_GAP_MS
    if (isGap || this.sending.size !== this.#steady.bodies) this.#beSteady()
    if (isGap) {
      // It is not known when it arrived.
      this.#looks = []
      this.#stillSince = now
    } else if (this.sending.size > 0) this.#busyMs += sinceLook
    this.#looks.push({ at: this.#busyMs, counted: this.#counted })
    while (this.#busyMs - this.#looks[0]!.at > MEAN_MS) this.#looks.shift()
    this.#rate = this.#rateOf(TELLING_MS)
    this.#meanRate = this.#rateOf(MEAN_MS)
  }

  /** Bytes a millisecond of the last `ms` in which something was sent; 0 if that is not known. */
  #rateOf (ms: number): number {
    const { at, counted: before } = this.#looks.findLast(look => this.#busyMs - look.at >= ms) ?? this.#looks[0]!
    const counted = this.#counted - before
    const elapsed = this.#busyMs - at
    return elapsed >= TELLING_MS || (elapsed > 0 && counted >= TELLING_BYTES * this.sending.size) ? counted / elapsed : 0
  }

  #beSteady (): void {
    this.#steady = { since: this.#lookedAt, bodies: this.sending.size, counted: this.#counted }
  }
}

function sum<Item> (items: Iterable<Item>, count: (item: Item) => number): number {
  let total = 0
  for (const item of items) total += count(item)
  return total
}
