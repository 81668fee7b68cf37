import type { Socket } from 'node:net'
import { arrivedBytes, handedOver } from './send-queues.ts'

// What sockets and proxies take in advance says nothing about the line.
const TAKEN_IN_ADVANCE_BYTES = 262_144 // 256 KiB
// Less is no movement.
const LEAST_BYTES = 1_024
const SHORTEST_LOOK_MS = 50
// The rate is that of so much time, and known after less if so much of each body has arrived.
const TELLING_MS = 800
const TELLING_BYTES = 1_048_576 // 1 MiB

/** A body that is to be sent. */
export interface Body {
  readonly bytes: number
  readonly isBackground: boolean
  readonly askedAt: number
}

/** One body on its way to B2. */
export class Sending implements Body {
  readonly bytes: number
  readonly isBackground: boolean
  readonly askedAt: number
  readonly since = performance.now()
  movedAt: number
  /** How much of it is known to have arrived. */
  arrived = 0
  #socket: Socket | undefined
  /** What had gone over the socket before. */
  #base = 0

  constructor ({ bytes, isBackground, askedAt }: Body, movedAt: number) {
    this.bytes = bytes
    this.isBackground = isBackground
    this.askedAt = askedAt
    this.movedAt = movedAt
  }

  /** Still to arrive. */
  get left (): number { return this.bytes - this.arrived }

  get socket (): Socket | undefined { return this.#socket }

  /** What says something about the line. */
  get counted (): number { return Math.max(0, this.arrived - TAKEN_IN_ADVANCE_BYTES) }

  /** Whether it has come so far that its speed shows. */
  get isUnderWay (): boolean { return this.arrived >= Math.min(this.bytes / 2, TAKEN_IN_ADVANCE_BYTES) }

  /** It is sent over `socket` from now on. */
  connected (socket: Socket): void {
    this.#socket = socket
    this.#base = handedOver(socket)
  }

  /** Notes what has arrived over its socket in all. */
  note (overSocket: number): void {
    const arrived = Math.min(this.bytes, overSocket - this.#base)
    if (arrived - this.arrived < LEAST_BYTES) return
    this.arrived = arrived
    this.movedAt = performance.now()
  }
}

/** The line to B2, by what arrives of the bodies that are sent over it. */
export class Line {
  readonly sending = new Set<Sending>()
  #rate = 0
  #movedAt = -Infinity
  /** Since when nothing is known to have moved, though something could. */
  #stillSince = 0
  /** All that counts of what has arrived so far. */
  #counted = 0
  /** Since when as many bodies are under way as now, and what had arrived then. */
  #steady = { since: 0, bodies: 0, counted: 0 }
  /** What had arrived at the last looks, the first of them at least {@link TELLING_MS} ago. */
  #looks = [{ at: 0, counted: 0 }]
  #lookedAt = 0
  #looking: Promise<void> | undefined

  /** Bytes a millisecond of all bodies together; 0 while it is not known. */
  get rate (): number { return this.#rate }

  /** Bytes of all bodies that are being sent. */
  get underWay (): number { return sum(this.sending, ({ bytes }) => bytes) }

  /** Those of them that have not arrived. */
  get left (): number { return sum(this.sending, ({ left }) => left) }

  /** Whether anything moved within the last `ms`, as far as somebody looked. */
  movedWithin (ms: number): boolean { return performance.now() - this.#movedAt <= ms }

  /** Whether nothing moved for `ms`, though somebody looked and there was something to move. */
  standsStill (ms: number): boolean { return performance.now() - Math.max(this.#movedAt, this.#stillSince) > ms }

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

  /** Milliseconds for which as many bodies as now have been under way. */
  get steadyMs (): number { return this.#lookedAt - this.#steady.since }

  /** {@link rate} of that time. */
  get steadyRate (): number { return (this.#counted - this.#steady.counted) / this.steadyMs }

  /** Measures from now on: nobody has looked for a while. */
  start (): void {
    this.#rate = 0
    this.#lookedAt = this.#stillSince = performance.now()
    this.#looks = [{ at: this.#lookedAt, counted: this.#counted }]
    this.#beSteady()
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
    this.#lookedAt = performance.now()
    if (this.sending.size !== this.#steady.bodies) this.#beSteady()
    while (this.#looks.length > 1 && this.#lookedAt - this.#looks[1]!.at >= TELLING_MS) this.#looks.shift()
    const first = this.#looks[0]!
    const counted = this.#counted - first.counted
    const elapsed = this.#lookedAt - first.at
    if (counted >= TELLING_BYTES * this.sending.size || elapsed >= TELLING_MS) this.#rate = counted / elapsed
    this.#looks.push({ at: this.#lookedAt, counted: this.#counted })
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
