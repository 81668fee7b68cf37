import { bufferSize } from '../../services/buffer-pool.ts'
import { mostMemory } from '../../services/intake.ts'
import { SLOW_BYTES_PER_SECOND } from '../../services/memory-account.ts'
import type { MemoryAccount, MemoryLease } from '../../services/memory-account.ts'

export interface SimulatedUploadOptions {
  readonly bytes: number
  /** Whether its length is known beforehand. */
  readonly announced: boolean
  readonly partBytes: number
  readonly windowBytes: number
  /** Bytes per second of the client, at a moment of its own reading time. */
  clientRate (readingMs: number): number
  /** Bytes per second in which one part goes to the store. */
  readonly storeRate: number
  /** Its client leaves after so many bytes. */
  readonly leavesAt?: number
}

interface Sent {
  readonly bytes: number
  left: number
  stored: boolean
}

const CONCURRENCY = 4

/** An upload as the account sees it: it takes, waits, gives back and ends as a real one does, in simulated time. */
export class SimulatedUpload {
  readonly #options: SimulatedUploadOptions
  readonly #lease: MemoryLease
  readonly #seen: { at: number, bytes: number }[] = [{ at: 0, bytes: 0 }]
  #sent: Sent[] = []
  #readingMs = 0
  #received = 0
  #partLength = 0
  #buffer = 0
  #waiting = false
  #readAll = false
  held = 0
  outcome: 'under way' | 'stored' | 'ended' | 'left' = 'under way'
  /** It was ever measured as slow. */
  everSlow = false
  #toEnd = false

  constructor (account: MemoryAccount, options: SimulatedUploadOptions) {
    this.#options = options
    this.#lease = account.open({
      need: options.announced ? mostMemory(options.bytes, options.partBytes) : Infinity,
      rate: () => this.rate(),
      end: () => { this.#toEnd = true },
    })
  }

  rate (): number | undefined {
    if (this.#readAll) return undefined
    const from = this.#seen[0]!
    const span = this.#readingMs - from.at
    return span < 250 ? undefined : (this.#received - from.bytes) / span * 1_000
  }

  step (ms: number): void {
    if (this.#toEnd && !this.#readAll) return this.#close('ended')
    this.#store(ms)
    if (this.#readAll) {
      if (this.#sent.every(part => part.stored)) this.#close('stored')
      return
    }
    if (this.#waiting || this.#unstored() > CONCURRENCY) return
    this.#read(ms)
  }

  #read (ms: number): void {
    const { bytes, partBytes, leavesAt = Infinity } = this.#options
    let come = Math.min(bytes - this.#received, Math.ceil(this.#options.clientRate(this.#readingMs) * ms / 1_000))
    this.#readingMs += ms
    while (come > 0 && !this.#waiting) {
      const taken = Math.min(come, Math.min(this.#buffer, partBytes) - this.#partLength)
      come -= taken
      this.#received += taken
      this.#partLength += taken
      if (come === 0) break
      if (this.#partLength < partBytes) this.#grow()
      else if (this.#unstored() >= CONCURRENCY) break
      else this.#send()
    }
    this.#seen.push({ at: this.#readingMs, bytes: this.#received })
    while (this.#seen.length > 1 && this.#readingMs - this.#seen[1]!.at >= 10_000) this.#seen.shift()
    if ((this.rate() ?? Infinity) < SLOW_BYTES_PER_SECOND) this.everSlow = true
    if (this.#received >= leavesAt) return this.#close('left')
    if (this.#received < bytes) return
    this.#readAll = true
    this.#lease.takesNoMore()
    this.#send()
  }

  #grow (): void {
    const { bytes, announced, partBytes } = this.#options
    const largest = Math.min(partBytes, announced ? bytes - (this.#received - this.#partLength) : partBytes)
    const slow = (this.rate() ?? Infinity) < SLOW_BYTES_PER_SECOND
    const first = this.#buffer === 0 && this.#received === 0
    const size = first ? 65_536 : Math.min(bufferSize(slow ? Math.min(largest, Math.max(65_536, 2 * this.#partLength)) : largest), partBytes)
    const more = size - this.#buffer
    const granted = (): void => {
      this.#waiting = false
      this.held += more
      this.#buffer = size
    }
    this.#waiting = true
    if (this.#lease.take(more, granted)) granted()
  }

  #send (): void {
    this.#sent.push({ bytes: this.#buffer, left: this.#partLength, stored: false })
    this.#buffer = 0
    this.#partLength = 0
    this.#release()
  }

  #unstored (): number {
    return this.#sent.filter(part => !part.stored).length
  }

  #store (ms: number): void {
    for (const part of this.#sent.filter(({ stored }) => !stored).slice(0, CONCURRENCY)) {
      part.left -= this.#options.storeRate * ms / 1_000
      part.stored = part.left <= 0
    }
    this.#release()
  }

  #release (): void {
    if (this.#received <= this.#options.windowBytes) return
    for (const part of this.#sent.filter(({ stored }) => stored)) {
      this.held -= part.bytes
      this.#lease.give(part.bytes)
    }
    this.#sent = this.#sent.filter(({ stored }) => !stored)
  }

  #close (outcome: 'stored' | 'ended' | 'left'): void {
    this.outcome = outcome
    this.held = 0
    this.#lease.close()
  }
}
