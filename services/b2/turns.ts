import type { Socket } from 'node:net'
import { handedOver, unacknowledgedBytes } from './send-queues.ts'

export interface TurnsOptions {
  /** Milliseconds within which a request that has its turn should be acknowledged, if the line to B2 allows it. */
  readonly targetMs: number
}

/** Leave to send one body. */
export interface Turn {
  /** The body is sent over this socket. */
  connected (socket: Socket): void
  /** It is acknowledged, or failed. Later calls do nothing. */
  end (isAcknowledged: boolean): void
}

interface Sending {
  readonly bytes: number
  readonly isBackground: boolean
  since: number
  socket: Socket | undefined
  /** What had gone over the socket before. */
  base: number
  /** How much of it is known to have arrived. */
  arrived: number
}

interface Waiting {
  readonly own: Sending
  /** Its place in the queue: a small body comes before a large one that came a little earlier. */
  readonly due: number
  start (): void
}

const FIRST_LIMIT_BYTES = 1_048_576 // 1 MiB
const LARGEST_LIMIT_BYTES = 4_294_967_296 // 4 GiB
// Nothing is known of the line from one request, and the second keeps it busy while the first waits for its answer.
const LEAST_AT_ONCE = 2
// What sockets and proxies take in advance says nothing about the line.
const TAKEN_IN_ADVANCE_BYTES = 524_288 // 512 KiB
const USUAL_BODY_BYTES = 8_388_608 // 8 MiB
const FIRST_LOOK_MS = 50
const LOOK_MS = 200
const WEIGHT_OF_LOOK = 0.4
// What more requests carry shows after some looks.
const STEADY_AFTER_MS = 1_500
// Of work that is left when the next request may begin, though one at a time is all that the line carries in time.
const OVERLAP_MS = 400
const FIRST_PAUSE_MS = 5_000
const LONGEST_PAUSE_MS = 60_000
// Of a half more requests.
const CLEARLY_MORE = 1.2
const HARDLY_LESS = 0.7

/**
 * Lets the bodies that go to B2 take turns when the line is full, so that each is acknowledged soon, rather than all of
 * them late. Nobody waits on a line that is fast enough: as many bytes may be under way as it carries within `targetMs`,
 * and more while more requests carry more.
 *
 * How much that is, is learnt from what moves: few requests at first, and soon twice as many, as long as they are
 * acknowledged quickly or move well.
 */
export class Turns {
  readonly #targetMs: number
  readonly #sending = new Set<Sending>()
  readonly #waiting: Waiting[] = []
  readonly #background: Waiting[] = []
  #limit = FIRST_LIMIT_BYTES
  /** Bytes a millisecond of all requests together; 0 while it is not known. */
  #rate = 0
  /** How many bytes under way were shown to carry more than fewer did, and what they carried. */
  #proven = 0
  #provenRate = 0
  /** What was carried before more were let go. */
  #trial: { readonly count: number, readonly rate: number, readonly limit: number } | undefined
  #notBefore = 0
  #pauseMs = FIRST_PAUSE_MS
  #arrivedSince = 0
  #lookedAt = 0
  #movedAt = -Infinity
  #timer: NodeJS.Timeout | undefined

  constructor ({ targetMs }: TurnsOptions) {
    this.#targetMs = targetMs
  }

  /** Bodies that wait. */
  get waiting (): number { return this.#waiting.length + this.#background.length }

  /** Whether anything moved on the line within the last `ms`. */
  movedWithin (ms: number): boolean { return performance.now() - this.#movedAt <= ms }

  /** Waits for the turn of a body. What is in the background goes only while nobody else waits. @throws an `AbortError` once `signal` fires */
  async take (bytes: number, isBackground: boolean, signal: AbortSignal | undefined): Promise<Turn> {
    const own: Sending = { bytes, isBackground, since: performance.now(), socket: undefined, base: 0, arrived: 0 }
    if (this.#mayStart(own)) this.#sending.add(own)
    else await this.#wait(own, signal)
    return {
      connected (socket) {
        own.socket = socket
        own.base = handedOver(socket)
        own.arrived = 0
      },
      end: isAcknowledged => {
        if (!this.#sending.delete(own)) return
        if (isAcknowledged) this.#acknowledged(own)
        this.#startNext()
      },
    }
  }

  async #wait (own: Sending, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted === true) throw abortError()
    this.#lookOn()
    await new Promise<void>((resolve, reject) => {
      const queue = own.isBackground ? this.#background : this.#waiting
      const due = own.since + own.bytes / USUAL_BODY_BYTES * this.#targetMs
      const onAbort = (): void => {
        queue.splice(queue.indexOf(entry), 1)
        reject(abortError())
      }
      const entry: Waiting = {
        own,
        due,
        start () {
          signal?.removeEventListener('abort', onAbort)
          resolve()
        },
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      let place = queue.length
      while (place > 0 && queue[place - 1]!.due > due) place--
      queue.splice(place, 0, entry)
    })
  }

  #mayStart ({ bytes, isBackground }: Sending): boolean {
    if (this.#sending.size === 0) return true
    if (isBackground && this.#waiting.length > 0) return false
    let left = 0
    let inBackground = 0
    for (const each of this.#sending) {
      left += Math.max(0, each.bytes - each.arrived)
      if (each.isBackground) inBackground += each.bytes
    }
    // Live uploads must find room at once.
    if (isBackground && inBackground > 0 && inBackground + bytes > this.#limit / 2) return false
    if (left + bytes <= this.#limit) return true
    return this.#sending.size < LEAST_AT_ONCE && (this.#rate === 0 || left <= this.#rate * OVERLAP_MS)
  }

  #startNext (): void {
    for (const queue of [this.#waiting, this.#background]) {
      while (queue.length > 0 && this.#mayStart(queue[0]!.own)) {
        const { own, start } = queue.shift()!
        own.since = performance.now()
        this.#sending.add(own)
        start()
      }
    }
    if (this.waiting === 0) this.#lookNoMore()
  }

  #acknowledged ({ bytes, arrived, since }: Sending): void {
    const now = performance.now()
    this.#movedAt = now
    this.#arrivedSince += Math.max(0, bytes - counted(arrived))
    if (now - since > this.#targetMs / 8) return
    let underWay = bytes
    for (const each of this.#sending) underWay += each.bytes
    this.#limit = Math.min(LARGEST_LIMIT_BYTES, Math.max(this.#limit, underWay) + bytes)
  }

  /** Measures the line for as long as somebody waits. */
  #lookOn (): void {
    if (this.#timer !== undefined) return
    this.#lookedAt = performance.now()
    this.#arrivedSince = 0
    const look = (): void => {
      this.#look().catch(() => {}).finally(() => {
        if (this.#timer === undefined) return
        this.#startNext()
        if (this.waiting > 0) this.#timer = setTimeout(look, LOOK_MS)
      })
    }
    this.#timer = setTimeout(look, FIRST_LOOK_MS)
  }

  #lookNoMore (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  async #look (): Promise<void> {
    const sending = [...this.#sending]
    const queued = await Promise.all(sending.map(async ({ socket }) => socket === undefined ? 0 : await unacknowledgedBytes(socket) ?? 0))
    for (const [index, each] of sending.entries()) {
      if (each.socket === undefined || !this.#sending.has(each)) continue
      const arrived = Math.min(each.bytes, handedOver(each.socket) - each.base - queued[index]!)
      if (arrived <= each.arrived) continue
      this.#arrivedSince += counted(arrived) - counted(each.arrived)
      each.arrived = arrived
      this.#movedAt = performance.now()
    }
    const now = performance.now()
    const elapsed = now - this.#lookedAt
    const rate = this.#arrivedSince / elapsed
    this.#lookedAt = now
    this.#arrivedSince = 0
    this.#rate = this.#rate === 0 ? rate : this.#rate + WEIGHT_OF_LOOK * (rate - this.#rate)
    if (this.#rate > 0 && sending.length > 0) this.#adapt(sending)
  }

  /** Sets how many bytes may be under way. Never more than twice what is: the first moments of a request promise too much. */
  #adapt (sending: readonly Sending[]): void {
    const underWay = sending.reduce((sum, { bytes }) => sum + bytes, 0)
    const onTime = this.#rate * this.#targetMs
    if (onTime < underWay) this.#try(sending, underWay)
    else this.#trial = undefined
    this.#limit = Math.max(FIRST_LIMIT_BYTES, Math.min(LARGEST_LIMIT_BYTES, 2 * underWay, Math.max(onTime, this.#proven, this.#trial?.limit ?? 0)))
  }

  /** Tries now and then whether more requests carry more: then each has a bound of its own, and the line is not full. */
  #try (sending: readonly Sending[], underWay: number): void {
    const now = performance.now()
    if (this.#rate < HARDLY_LESS * this.#provenRate) this.#proven = this.#provenRate = 0
    if (!sending.every(({ since, arrived, bytes }) => now - since > STEADY_AFTER_MS && arrived >= Math.min(bytes / 2, TAKEN_IN_ADVANCE_BYTES))) return
    if (this.#trial !== undefined && sending.length > this.#trial.count) {
      const carriesMore = this.#rate >= CLEARLY_MORE * this.#trial.rate
      this.#trial = undefined
      if (carriesMore) {
        this.#proven = underWay
        this.#provenRate = this.#rate
        this.#pauseMs = FIRST_PAUSE_MS
      } else {
        this.#notBefore = now + this.#pauseMs
        this.#pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * this.#pauseMs)
      }
    }
    if (this.#trial !== undefined || now < this.#notBefore) return
    const left = sending.reduce((sum, { bytes, arrived }) => sum + Math.max(0, bytes - arrived), 0)
    const more = Math.ceil(sending.length / 2) * underWay / sending.length
    this.#trial = { count: sending.length, rate: this.#rate, limit: left + more }
  }
}

function counted (arrived: number): number {
  return Math.max(0, arrived - TAKEN_IN_ADVANCE_BYTES)
}

function abortError (): Error {
  return Object.assign(new Error('The request was cancelled.'), { name: 'AbortError' })
}
