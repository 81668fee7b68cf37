import type { Socket } from 'node:net'
import { setImmediate as othersRun } from 'node:timers/promises'
import type { Test } from 'tap'
import { Movement } from '../../../services/b2/line/movement.ts'
import type { Turn } from '../../../services/b2/line/turns.ts'
import { Turns } from '../../../services/b2/line/turns.ts'
import { fakeClock } from '../run/fake-clock.ts'
import type { FakeClock } from '../run/fake-clock.ts'
import { fakeSocketTables, tcpLine } from './send-queues.ts'

const STEP_MS = 20
const PART_BYTES = 8_388_608 // 8 MiB
const PARTS_AT_ONCE = 5
const STILL_MS = 5_000
// What the other side's kernel takes before anybody reads it.
const TAKEN_IN_ADVANCE_BYTES = 131_072 // 128 KiB

export interface SimulatedLine {
  /** Of all connections together; may change. */
  bytesPerSecond (ms: number): number
  /** Of each connection. Default: no bound of its own. */
  readonly bytesPerSecondEach?: number
  /** Milliseconds from the last byte of a body to its answer. Default 20. */
  readonly answerMs?: number
}

export interface SimulatedUploads {
  readonly count: number
  readonly bytes: number
  /** Milliseconds between them. Default 0: all at once. */
  readonly everyMs?: number
  readonly isBackground?: boolean
}

export interface Outcome {
  readonly inB2: number
  /** Bytes that went over the line in vain. */
  readonly wastedBytes: number
  /** Bodies under way at once, at most. */
  readonly mostAtOnce: number
  /** When the last upload that is in B2 was, in milliseconds. */
  readonly lastInB2: number
  /** Bytes that the line carried meanwhile. */
  readonly carriedBytes: number
  /** Times for which somebody looked what moves. */
  readonly looks: number
  /** Whether an upload that fell back took that for an outage. */
  readonly hasFailed: boolean
  /** From the upload's beginning to its last acknowledgement. */
  readonly times: readonly number[]
}

/** A body on the line. */
interface Carried {
  readonly socket: { bytesWritten: number, localPort: number, remotePort: number, remoteAddress: string }
  readonly bytes: number
  carried: number
  /** When it was carried. */
  carriedAt: number
  acknowledge (): void
}

/** Uploads over a line, in a time of its own. */
export class LineSimulation {
  readonly #clock: FakeClock
  readonly #tables: ReturnType<typeof fakeSocketTables>
  readonly #turns: Turns
  readonly #line: SimulatedLine
  readonly #timeoutMs: number
  readonly #carried = new Set<Carried>()
  readonly #from: number
  #ports = 0
  #mostAtOnce = 0
  #total = 0
  #lastInB2 = 0
  #useful = 0
  #hasFailed = false
  readonly #times: number[] = []

  constructor (t: Test, line: SimulatedLine, timeoutMs: number) {
    this.#clock = fakeClock(t)
    this.#tables = fakeSocketTables(t, Infinity)
    this.#turns = new Turns({ timeoutMs, stillMs: STILL_MS })
    this.#line = line
    this.#timeoutMs = timeoutMs
    this.#from = this.#clock.now
  }

  async run (...groups: SimulatedUploads[]): Promise<Outcome> {
    const waiting = groups.flatMap(({ count, bytes, everyMs = 0, isBackground = false }) =>
      Array.from({ length: count }, (_, index) => ({ at: index * everyMs, bytes, isBackground }))).sort((one, other) => one.at - other.at)
    let running = 0
    while (waiting.length > 0 || running > 0) {
      while (waiting.length > 0 && waiting[0]!.at <= this.#now) {
        running++
        const { bytes, isBackground } = waiting.shift()!
        void this.#upload(bytes, isBackground).finally(() => { running-- })
      }
      const looks = this.#tables.reads.length
      this.#list()
      this.#clock.advance(STEP_MS)
      this.#carry(STEP_MS)
      do await othersRun()
      while (this.#tables.reads.length > looks && this.#tables.reads.length % 2 !== 0)
      if (this.#tables.reads.length > looks) for (let count = 0; count < 4; count++) await othersRun()
    }
    return {
      inB2: this.#times.length,
      wastedBytes: this.#total - this.#useful,
      mostAtOnce: this.#mostAtOnce,
      lastInB2: this.#lastInB2,
      carriedBytes: this.#total,
      looks: this.#tables.reads.length / 2,
      hasFailed: this.#hasFailed,
      times: this.#times,
    }
  }

  get #now (): number { return this.#clock.now - this.#from }

  /** One upload, whose client has sent everything. */
  async #upload (bytes: number, isBackground: boolean): Promise<void> {
    const movement = new Movement(this.#turns, isBackground)
    const gaveUp = new AbortController()
    const began = this.#clock.now
    let last = began
    movement.givesUpAt(() => isBackground ? Infinity : last + this.#timeoutMs)
    const timer = setInterval(() => {
      const now = performance.now()
      if (now - last >= this.#timeoutMs / 2) movement.look().catch(() => {})
      if (now < movement.deadline) return
      if (!movement.within(Math.min(STILL_MS * 2, this.#timeoutMs / 2))) this.#hasFailed = true
      gaveUp.abort()
    }, Math.min(1_000, this.#timeoutMs / 20))
    let left = bytes
    const work = async (): Promise<void> => {
      while (left > 0) {
        const part = Math.min(left, PART_BYTES)
        left -= part
        const turn = await movement.take(part, gaveUp.signal)
        const isAcknowledged = await this.#send(part, turn, gaveUp.signal)
        movement.end(turn, isAcknowledged)
        gaveUp.signal.throwIfAborted()
        last = performance.now()
      }
    }
    try {
      await Promise.all(Array.from({ length: PARTS_AT_ONCE }, work))
      this.#lastInB2 = this.#now
      this.#useful += bytes
      this.#times.push(this.#clock.now - began)
    } catch {
      // It fell back.
    } finally {
      clearInterval(timer)
    }
  }

  #send (bytes: number, turn: Turn, signal: AbortSignal): Promise<boolean> {
    return new Promise(resolve => {
      const socket = { bytesWritten: 0, localPort: 10_000 + this.#ports++ % 50_000, remotePort: 443, remoteAddress: '127.0.0.1' }
      turn.connected(socket as Socket, false)
      socket.bytesWritten = bytes
      const end = (isAcknowledged: boolean): void => {
        signal.removeEventListener('abort', onAbort)
        this.#carried.delete(body)
        resolve(isAcknowledged)
      }
      const onAbort = (): void => end(false)
      const body: Carried = { socket, bytes, carried: 0, carriedAt: Infinity, acknowledge: () => end(true) }
      signal.addEventListener('abort', onAbort)
      this.#carried.add(body)
      this.#mostAtOnce = Math.max(this.#mostAtOnce, this.#carried.size)
    })
  }

  /** Each connection has the same share of the line. */
  #carry (ms: number): void {
    const active = [...this.#carried].filter(({ bytes, carried }) => carried < bytes)
    let room = this.#line.bytesPerSecond(this.#now) * ms / 1_000
    const each = (this.#line.bytesPerSecondEach ?? Infinity) * ms / 1_000
    active.sort((one, other) => one.bytes - one.carried - (other.bytes - other.carried))
    for (const [index, body] of active.entries()) {
      const share = Math.min(room / (active.length - index), each, body.bytes - body.carried)
      body.carried += share
      room -= share
      this.#total += share
      if (body.carried >= body.bytes) body.carriedAt = this.#now
    }
    for (const body of this.#carried) if (this.#now >= body.carriedAt + (this.#line.answerMs ?? 20)) body.acknowledge()
  }

  #list (): void {
    this.#tables.tcp = Array.from(this.#carried, ({ socket, bytes, carried }) =>
      tcpLine(socket.localPort, socket.remotePort, Math.ceil(bytes - Math.min(bytes, carried + TAKEN_IN_ADVANCE_BYTES))))
  }
}
