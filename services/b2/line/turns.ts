import type { Socket } from 'node:net'
import { LineLimit } from './limit.ts'
import { Line } from './line.ts'
import type { Body, BodyOwner } from './line.ts'
import { nextBody } from './next-body.ts'
import type { WaitingBody } from './next-body.ts'

export interface TurnsOptions {
  /** Milliseconds within which B2 has to acknowledge something of an upload that has come. */
  readonly timeoutMs: number
  /** Milliseconds without movement after which the line has no turns: each upload has to find out by itself that it stands still. */
  readonly stillMs: number
}

/** Leave to send one body. */
export interface Turn {
  /** When something of it was last seen to move, or of the line before it began; see {@link Turns.look}. */
  readonly movedAt: number
  /** The body is sent over this socket from now on, over which others were sent before if `isReused`. */
  connected (socket: Socket, isReused: boolean): void
  /** It is acknowledged, or failed. Later calls do nothing. */
  end (isAcknowledged: boolean): void
}

interface Waiting extends WaitingBody {
  start (turn: Turn): void
}

// Of work that is left when the next body may begin, though one at a time is all that the line carries in time.
const OVERLAP_MS = 400
// A body that shows nothing for so long has no connection yet, or one that is far away.
const SILENT_MS = 1_000
// One at a time hardly costs the line anything.
const SMALL_BODY_BYTES = 262_144 // 256 KiB
const FIRST_LOOK_MS = 50
const LOOK_MS = 200

/**
 * Lets the bodies that go to B2 take turns when the line is full, so that as many uploads as possible are acknowledged in time.
 * Nobody waits on a line that is fast enough.
 */
export class Turns {
  readonly #timeoutMs: number
  readonly #stillMs: number
  readonly #line = new Line()
  readonly #limit: LineLimit
  readonly #queue = new Set<Waiting>()
  #timer: NodeJS.Timeout | undefined

  constructor ({ timeoutMs, stillMs }: TurnsOptions) {
    this.#timeoutMs = timeoutMs
    this.#stillMs = stillMs
    this.#limit = new LineLimit(this.#line, timeoutMs)
  }

  /** Bodies that wait. */
  get waiting (): number { return this.#queue.size }

  /** Whether nothing moved on the line within the last `ms`, as far as somebody looked, though there was something to move. */
  stoodStill (ms: number): boolean { return this.#line.standsStill(ms) }

  /** Looks what has moved. Not needed while bodies wait. */
  async look (): Promise<void> { await this.#line.look() }

  /** Waits for the turn of a body. @throws an `AbortError` once `signal` fires */
  async take (bytes: number, owner: BodyOwner, signal: AbortSignal | undefined): Promise<Turn> {
    if (signal?.aborted === true) throw abortError()
    return await new Promise<Turn>((resolve, reject) => {
      const onAbort = (): void => {
        this.#queue.delete(entry)
        this.#startNext()
        reject(abortError())
      }
      const entry: Waiting = {
        bytes,
        owner,
        askedAt: performance.now(),
        start (turn) {
          signal?.removeEventListener('abort', onAbort)
          resolve(turn)
        },
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#queue.add(entry)
      this.#startNext()
    })
  }

  /** Starts what may start, in turn. */
  #startNext (): void {
    const mayGo = ({ bytes, owner }: Waiting): boolean => !owner.isBackground || this.#hasRoomInBackground(bytes)
    for (let next; (next = nextBody(this.#queue, this.#line, this.#timeoutMs, mayGo)) !== undefined && this.#mayStart(next);) {
      this.#queue.delete(next)
      next.start(this.#begin(next))
    }
    if (this.#queue.size > 0) this.#lookOn()
    else this.#lookNoMore()
  }

  /** Live uploads must find room at once. */
  #hasRoomInBackground (bytes: number): boolean {
    let inBackground = 0
    for (const each of this.#line.sending) if (each.owner.isBackground) inBackground += each.bytes
    return inBackground === 0 || inBackground + bytes <= this.#limit.bytes / 2
  }

  #mayStart ({ bytes }: Waiting): boolean {
    const { sending } = this.#line
    if (sending.size === 0 || this.#line.standsStill(this.#stillMs)) return true
    if (bytes <= SMALL_BODY_BYTES && ![...sending].some(other => other.bytes <= SMALL_BODY_BYTES)) return true
    return (this.#limit.allows(bytes) || this.#isAlmostFree()) && this.#leavesTime(bytes)
  }

  /** So that it is not idle while answers or connections come. */
  #isAlmostFree (): boolean {
    const { sending, left, rate } = this.#line
    if (rate > 0) return left <= rate * OVERLAP_MS
    const latest = performance.now() - SILENT_MS
    return [...sending].every(({ hasArrived, arrived, since }) => hasArrived || (arrived === 0 && since <= latest))
  }

  /** Whether what is under way is still in time if so many bytes more share the line. */
  #leavesTime (bytes: number): boolean {
    const { sending, left, meanRate: rate } = this.#line
    if (rate === 0) return true
    const now = performance.now()
    for (const each of sending) {
      const timeLeft = each.owner.deadline - now
      if (each.left / rate <= timeLeft && Math.min(left + bytes, (sending.size + 1) * each.left) / rate > timeLeft) return false
    }
    return true
  }

  #begin (body: Body): Turn {
    const own = this.#line.begin(body)
    return {
      get movedAt () { return own.movedAt },
      connected: (socket, isReused) => own.connected(socket, isReused),
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
    this.#line.look().catch(() => {})
    again(FIRST_LOOK_MS)
  }

  #lookNoMore (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}

function abortError (): Error {
  return Object.assign(new Error('The request was aborted.'), { name: 'AbortError' })
}
