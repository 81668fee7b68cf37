import type { Socket } from 'node:net'
import { LineLimit } from './limit.ts'
import { Line } from './line.ts'
import type { Body } from './line.ts'

export interface TurnsOptions {
  /** Milliseconds within which a body should be acknowledged, its time in the queue included, if the line to B2 allows it. */
  readonly timeoutMs: number
  /** Milliseconds without movement after which the line has no turns: who is sent over it has to find out by himself that it stands still. */
  readonly stillMs: number
}

/** Leave to send one body. */
export interface Turn {
  /** When something of it was last seen to move, or of the line before it began; see {@link Turns.look}. */
  readonly movedAt: number
  /** The body is sent over this socket. */
  connected (socket: Socket): void
  /** It is acknowledged, or failed. Later calls do nothing. */
  end (isAcknowledged: boolean): void
}

interface Waiting extends Body {
  /** Its place in the queue. */
  readonly due: number
  start (turn: Turn): void
}

// Nothing shows that soon of a line that is far away: a second body keeps it busy while the first waits for its answer.
const UNKNOWN_MS = 1_000
// Of work that is left when the next body may begin, though one at a time is all that the line carries in time.
const OVERLAP_MS = 400
// A small body comes before one of so many bytes that came `timeoutMs` earlier.
const LARGE_BODY_BYTES = 41_943_040 // 40 MiB
// Beside a single one it hardly costs the line anything.
const SMALL_BODY_BYTES = 262_144 // 256 KiB
const FIRST_LOOK_MS = 50
const LOOK_MS = 200

/**
 * Lets the bodies that go to B2 take turns when the line is full, so that each is acknowledged soon, rather than all of
 * them late. Nobody waits on a line that is fast enough.
 *
 * There is one queue. A small body comes before a large one that came a little earlier, and any before one in the
 * background that came less than `timeoutMs` earlier. So everybody's turn comes, however many come later.
 */
export class Turns {
  readonly #timeoutMs: number
  readonly #stillMs: number
  readonly #line = new Line()
  readonly #limit: LineLimit
  readonly #queue: Waiting[] = []
  #timer: NodeJS.Timeout | undefined

  constructor ({ timeoutMs, stillMs }: TurnsOptions) {
    this.#timeoutMs = timeoutMs
    this.#stillMs = stillMs
    this.#limit = new LineLimit(this.#line, timeoutMs)
  }

  /** Bodies that wait. */
  get waiting (): number { return this.#queue.length }

  /** Whether anything moved on the line within the last `ms`, as far as somebody looked. */
  movedWithin (ms: number): boolean { return this.#line.movedWithin(ms) }

  /** Looks what has moved. Not needed while bodies wait. */
  async look (): Promise<void> { await this.#line.look() }

  /** Waits for the turn of a body. @throws an `AbortError` once `signal` fires */
  async take (bytes: number, isBackground: boolean, signal: AbortSignal | undefined): Promise<Turn> {
    if (signal?.aborted === true) throw abortError()
    const askedAt = performance.now()
    const due = askedAt + (bytes / LARGE_BODY_BYTES + (isBackground ? 1 : 0)) * this.#timeoutMs
    return await new Promise<Turn>((resolve, reject) => {
      const onAbort = (): void => {
        this.#queue.splice(this.#queue.indexOf(entry), 1)
        this.#startNext()
        reject(abortError())
      }
      const entry: Waiting = {
        bytes,
        isBackground,
        askedAt,
        due,
        start (turn) {
          signal?.removeEventListener('abort', onAbort)
          resolve(turn)
        },
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      let place = this.#queue.length
      while (place > 0 && this.#queue[place - 1]!.due > due) place--
      this.#queue.splice(place, 0, entry)
      this.#startNext()
    })
  }

  /** Starts what may start, in turn. */
  #startNext (): void {
    for (let at = 0; at < this.#queue.length;) {
      const next = this.#queue[at]!
      if (next.isBackground && !this.#hasRoomInBackground(next.bytes)) {
        at++
        continue
      }
      if (!this.#mayStart(next.bytes)) break
      this.#queue.splice(at, 1)
      next.start(this.#begin(next))
    }
    if (this.#queue.length > 0) this.#lookOn()
    else this.#lookNoMore()
  }

  /** Live uploads must find room at once. */
  #hasRoomInBackground (bytes: number): boolean {
    let inBackground = 0
    for (const each of this.#line.sending) if (each.isBackground) inBackground += each.bytes
    return inBackground === 0 || inBackground + bytes <= this.#limit.bytes / 2
  }

  #mayStart (bytes: number): boolean {
    const { sending, left, rate } = this.#line
    const [first] = sending
    if (first === undefined || left + bytes <= this.#limit.bytes || this.#line.standsStill(this.#stillMs)) return true
    if (sending.size === 1 && bytes <= SMALL_BODY_BYTES) return true
    return rate > 0 ? left <= rate * OVERLAP_MS : sending.size === 1 && first.counted === 0 && performance.now() - first.since >= UNKNOWN_MS
  }

  #begin (body: Body): Turn {
    const own = this.#line.begin(body)
    return {
      get movedAt () { return own.movedAt },
      connected: socket => own.connected(socket),
      end: isAcknowledged => {
        if (!this.#line.end(own, isAcknowledged)) return
        if (isAcknowledged) this.#limit.acknowledged(own.bytes, performance.now() - own.since)
        this.#startNext()
      },
    }
  }

  /** Measures the line for as long as somebody waits. */
  #lookOn (): void {
    if (this.#timer !== undefined) return
    this.#line.start()
    const again = (ms: number): void => {
      this.#timer = setTimeout(() => {
        this.#line.look().catch(() => {}).finally(() => {
          if (this.#timer === undefined) return
          this.#limit.adapt()
          again(LOOK_MS)
          this.#startNext()
        })
      }, ms)
    }
    again(FIRST_LOOK_MS)
  }

  #lookNoMore (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}

function abortError (): Error {
  return Object.assign(new Error('The request was cancelled.'), { name: 'AbortError' })
}
