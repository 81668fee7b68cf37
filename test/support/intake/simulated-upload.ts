import { mostMemory, nextBufferSize } from '../../../services/memory/buffer-growth.ts'
import { SLOW_BYTES_PER_SECOND } from '../../../services/memory/account.ts'
import type { MemoryAccount, MemoryLease } from '../../../services/memory/account.ts'

export interface SimulatedUploadOptions {
  readonly bytes: number
  /** Whether its length is known beforehand. */
  readonly announced: boolean
  readonly partBytes: number
  readonly windowBytes: number
  /** Bytes per second of the client, at a moment of its own reading time. */
  clientRate (readingMs: number): number
  /** Bytes per second in which one part goes to the store. */
  storeRate (): number
  /** Whether it lets go of what it keeps when others wait, as the account does that asks for it. */
  readonly givesBackEarly?: boolean
  /** Its client leaves after so many bytes. */
  readonly leavesAt?: number
}

interface Sent {
  readonly bytes: number
  left: number
  stored: boolean
}

const CONCURRENCY = 5
const IDLE_MS = 30_000

/** An upload as the account sees it: it takes, waits, gives back and ends as a real one does, in simulated time. */
export class SimulatedUpload {
  readonly #options: SimulatedUploadOptions
  readonly lease: MemoryLease
  readonly #seen: { at: number, bytes: number }[] = [{ at: 0, bytes: 0 }]
  #sent: Sent[] = []
  #readingMs = 0
  #lastByteAt = 0
  #received = 0
  #partLength = 0
  #buffer = 0
  #readAll = false
  #outgrown = false
  #toLetGo = false
  #isWaiting = false
  #waitedMs = 0
  #toEnd = false
  held = 0
  outcome: 'under way' | 'stored' | 'ended' | 'left' = 'under way'
  /** It was ever measured as slow. */
  everSlow = false
  /** Bytes that came or were stored. */
  moved = 0
  longestWaitMs = 0

  constructor (account: MemoryAccount, options: SimulatedUploadOptions) {
    this.#options = options
    this.lease = account.open({
      need: options.announced ? mostMemory(options.bytes, options.partBytes) : Infinity,
      rate: () => this.rate(),
      end: () => { this.#toEnd = true },
      // Tags are read first, so it takes a while.
      letGo: () => { this.#toLetGo = true },
    })
  }

  get bytes (): number { return this.#options.bytes }

  get isAnnounced (): boolean { return this.#options.announced }

  get isWaiting (): boolean { return this.#isWaiting }

  /** Nothing comes from its client, and nothing is on its way to the store. */
  get isSilent (): boolean { return !this.#readAll && this.#unstored() === 0 && this.#options.clientRate(this.#readingMs) === 0 }

  rate (): number | undefined {
    if (this.#readAll) return undefined
    const from = this.#seen[0]!
    const span = this.#readingMs - from.at
    return span < 500 ? undefined : (this.#received - from.bytes) / span * 1_000
  }

  step (ms: number): void {
    if (this.#toEnd && !this.#readAll) return this.#close('ended')
    if (this.#toLetGo && !this.#outgrown) {
      if (this.#options.givesBackEarly !== true) throw new Error('It needs its window.')
      this.#outgrown = true
      this.#release()
    }
    this.#waitedMs = this.#isWaiting ? this.#waitedMs + ms : 0
    this.longestWaitMs = Math.max(this.longestWaitMs, this.#waitedMs)
    this.#store(ms)
    if (this.#readAll) {
      if (this.#sent.every(part => part.stored)) this.#close('stored')
      return
    }
    if (this.isWaiting || this.#unstored() > CONCURRENCY) return
    this.#read(ms)
  }

  #read (ms: number): void {
    const { bytes, partBytes, leavesAt = Infinity } = this.#options
    let come = Math.min(bytes - this.#received, Math.ceil(this.#options.clientRate(this.#readingMs) * ms / 1_000))
    const all = Math.max(1, come)
    if (come > 0) this.#lastByteAt = this.#readingMs + ms
    while (come > 0 && !this.isWaiting) {
      const taken = Math.min(come, Math.min(this.#buffer, partBytes) - this.#partLength)
      come -= taken
      this.moved += taken
      this.#received += taken
      this.#partLength += taken
      if (come === 0) break
      if (this.#partLength < partBytes) this.#grow(come)
      else if (this.#unstored() >= CONCURRENCY) break
      else this.#send(true)
    }
    // What it waits in is no time of reading.
    this.#readingMs += this.isWaiting ? ms * (all - come) / all : ms
    this.#seen.push({ at: this.#readingMs, bytes: this.#received })
    while (this.#seen.length > 1 && this.#readingMs - this.#seen[1]!.at >= 10_000) this.#seen.shift()
    if ((this.rate() ?? Infinity) < SLOW_BYTES_PER_SECOND) this.everSlow = true
    if (this.#received >= leavesAt || this.#readingMs - this.#lastByteAt >= IDLE_MS) return this.#close('left')
    if (this.#received < bytes) return
    this.#readAll = true
    this.lease.takesNoMore()
    this.#send(false)
  }

  #grow (more: number): void {
    const { bytes, announced, partBytes } = this.#options
    const size = nextBufferSize({
      start: this.#received - this.#partLength,
      length: this.#partLength,
      more: Math.min(more, 65_536),
      limit: partBytes,
      expectedBytes: announced ? bytes : Infinity,
      rate: this.rate(),
      isCrowded: this.lease.isCrowded,
    })
    const added = size - this.#buffer
    const granted = (): void => {
      this.#isWaiting = false
      this.held += added
      this.#buffer = size
    }
    this.#isWaiting = true
    if (this.lease.take(added, granted)) granted()
  }

  #send (isMoreToCome: boolean): void {
    this.#sent.push({ bytes: this.#buffer, left: this.#partLength, stored: false })
    this.#buffer = 0
    this.#partLength = 0
    this.lease.handOver()
    if (this.#received + Number(isMoreToCome) > this.#options.windowBytes) {
      this.#outgrown = true
      this.lease.goByParts(0)
    }
    this.#release()
  }

  #unstored (): number {
    return this.#sent.filter(part => !part.stored).length
  }

  #store (ms: number): void {
    for (const part of this.#sent.filter(({ stored }) => !stored).slice(0, CONCURRENCY)) {
      const moved = Math.min(part.left, this.#options.storeRate() * ms / 1_000)
      part.left -= moved
      this.moved += moved
      part.stored = part.left <= 0
      if (part.stored) this.lease.keep(part.bytes)
    }
    this.#release()
  }

  #release (): void {
    if (!this.#outgrown) return
    for (const part of this.#sent.filter(({ stored }) => stored)) {
      this.held -= part.bytes
      this.lease.keep(-part.bytes)
      this.lease.give(part.bytes)
    }
    this.#sent = this.#sent.filter(({ stored }) => !stored)
  }

  #close (outcome: 'stored' | 'ended' | 'left'): void {
    this.outcome = outcome
    this.#isWaiting = false
    this.held = 0
    this.lease.close()
  }
}
