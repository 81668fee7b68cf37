import type { Body, BodyOwner, Line, Sending } from './line.ts'

/** A body that waits for its turn. */
export interface WaitingBody extends Body {
  readonly askedAt: number
}

interface LineState extends Pick<Line, 'meanRate' | 'left'> {
  readonly sending: ReadonlySet<Pick<Sending, 'owner'>>
}

// One of so many bytes is as urgent as its upload, a smaller one more urgent.
const LARGE_BODY_BYTES = 8_388_608 // 8 MiB
// The rate is not known exactly, nor does it stay as it is.
const MARGIN = 1.1

/**
 * The most urgent of those bodies that can still be acknowledged in time, or undefined if there is none. `timeoutMs` is what an upload
 * has for each acknowledgement.
 */
export function nextBody<Waiting extends WaitingBody> (waiting: Iterable<Waiting>, line: LineState, timeoutMs: number, mayGo: (body: Waiting) => boolean): Waiting | undefined {
  const knows = line.meanRate > 0 ? new Forecast(waiting, line, timeoutMs) : undefined
  let next: Waiting | undefined
  let soonest = Infinity
  for (const each of waiting) {
    const due = dueOf(each, timeoutMs, knows?.isServed(each.owner) === true)
    if (due >= soonest || knows?.comesInTime(each) === false || !mayGo(each)) continue
    next = each
    soonest = due
  }
  return next
}

/** When its turn has to come. What is on its way already gives its upload more time; what is in the background has `timeoutMs` more than others. */
function dueOf ({ bytes, owner, askedAt }: WaitingBody, timeoutMs: number, isServed: boolean): number {
  const { deadline, isBackground, hasBegun } = owner
  const due = deadline === Infinity ? askedAt + timeoutMs : isServed ? performance.now() + timeoutMs : deadline
  const smallness = hasBegun ? 0 : Math.max(0, 1 - bytes / LARGE_BODY_BYTES)
  return due + ((isBackground ? 1 : 0) - smallness) * timeoutMs
}

/** Whether what waits can be in time, if the line carries as much as it did. */
class Forecast {
  readonly #bytesPerMs: number
  readonly #left: number
  readonly #isIdle: boolean
  readonly #timeoutMs: number
  readonly #now = performance.now()
  readonly #served: ReadonlySet<BodyOwner>
  readonly #spareBytes: number

  constructor (waiting: Iterable<WaitingBody>, { meanRate, left, sending }: LineState, timeoutMs: number) {
    this.#bytesPerMs = meanRate / MARGIN
    this.#left = left
    this.#isIdle = sending.size === 0
    this.#timeoutMs = timeoutMs
    this.#served = new Set(Array.from(sending, ({ owner }) => owner))
    this.#spareBytes = this.#spare(waiting)
  }

  /** Whether a body of the upload is on its way. */
  isServed (owner: BodyOwner): boolean { return this.#served.has(owner) }

  /**
   * One that comes too late would be sent for nothing, at the cost of others. Alone it is tried while most of its time is left: the line
   * may be faster than it was.
   */
  comesInTime ({ bytes, owner }: WaitingBody): boolean {
    if (this.#served.has(owner)) return true
    const timeLeft = owner.deadline - this.#now
    if (this.#isIdle && timeLeft > this.#timeoutMs / 2) return true
    return (this.#left + bytes) / this.#bytesPerMs <= timeLeft && (owner.hasBegun || bytes <= this.#spareBytes)
  }

  /**
   * How many bytes of other uploads may go before those that have begun: if these were late, all that they sent would be for nothing. Each
   * of them needs an acknowledgement within `timeoutMs`, again and again.
   */
  #spare (waiting: Iterable<WaitingBody>): number {
    const begun = new Map<BodyOwner, number>()
    for (const { owner, bytes } of waiting) {
      if ((owner.hasBegun || this.#served.has(owner)) && owner.deadline < Infinity) begun.set(owner, Math.max(bytes, begun.get(owner) ?? 0))
    }
    let spare = this.#timeoutMs * this.#bytesPerMs
    for (const bytes of begun.values()) spare -= bytes
    let before = this.#left
    for (const [owner, bytes] of [...begun].sort(([one], [other]) => one.deadline - other.deadline)) {
      if (this.#served.has(owner)) continue
      before += bytes
      const left = (owner.deadline - this.#now) * this.#bytesPerMs - before
      if (left >= 0) spare = Math.min(spare, left)
    }
    return spare
  }
}
