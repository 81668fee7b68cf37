import { MemoryAccount } from '../../../services/memory/account.ts'
import type { FakeClock } from '../run/fake-clock.ts'
import { seeded } from '../clients/leaving-client.ts'
import { SimulatedUpload } from './simulated-upload.ts'

const KIB = 1_024
const MIB = 1_048_576
const STEP_MS = 250
const UPLOADS = 50
/** From here on all lines are fast, so that what is left comes to its end. */
const FAST_AFTER_MS = 300_000

interface Failing { fail (message: string): unknown }

/** Some minutes of uploads of all kinds in one account, and whether it keeps its promises. */
export class MemorySimulation {
  readonly #t: Failing
  readonly #clock: FakeClock
  readonly #seed: number
  readonly #random: () => number
  readonly #partBytes: number
  readonly #windowBytes: number
  readonly #budgetBytes: number
  readonly #givesBackEarly: boolean
  readonly #account: MemoryAccount
  readonly uploads: SimulatedUpload[] = []
  #moved = 0
  #movedAt = 0

  constructor (t: Failing, clock: FakeClock, seed: number) {
    this.#t = t
    this.#clock = clock
    this.#seed = seed
    this.#random = seeded(seed)
    this.#partBytes = this.#pick([5 * MIB, 5 * MIB + 1, 8 * MIB, 16 * MIB])
    this.#windowBytes = this.#pick([MIB, 16 * MIB, 30 * MIB, 32 * MIB])
    this.#budgetBytes = Math.max(32 * MIB, this.#windowBytes + 2 * this.#partBytes) + this.#pick([0, 0, 10 * MIB, 200 * MIB])
    this.#givesBackEarly = this.#pick([true, false])
    this.#account = new MemoryAccount({ budgetBytes: this.#budgetBytes, windowBytes: this.#windowBytes, partBytes: this.#partBytes, givesBackEarly: this.#givesBackEarly })
  }

  #pick <T> (values: readonly T[]): T { return values[Math.floor(this.#random() * values.length)]! }

  #between (least: number, most: number): number { return least * (most / least) ** this.#random() }

  #fail (message: string): void { this.#t.fail(`seed ${this.#seed}, ${this.#clock.now} ms: ${message}`) }

  run (): void {
    const from = this.#clock.now
    const elapsed = (): number => this.#clock.now - from
    const kinds = this.#pick([['any'], ['just above slow'], ['slow', 'any'], ['just above slow', 'fast'], ['fast']] as const)
    const arrivals = Array.from({ length: UPLOADS }, () => this.#arrival(this.#pick<string>(kinds), elapsed)).sort((a, b) => a.at - b.at)
    this.#movedAt = from
    while (arrivals.length > 0 || this.uploads.some(({ outcome }) => outcome === 'under way')) {
      while (arrivals.length > 0 && arrivals[0]!.at <= elapsed()) this.uploads.push(new SimulatedUpload(this.#account, arrivals.shift()!))
      for (const upload of this.uploads) if (upload.outcome === 'under way') upload.step(STEP_MS)
      this.#clock.advance(STEP_MS)
      this.#check()
      if (elapsed() < FAST_AFTER_MS + 600_000) continue
      return this.#fail(`${this.#account.waiting} wait for ever`)
    }
    if (this.#account.heldBytes !== 0 || this.#account.committedBytes !== 0 || this.#account.waiting !== 0) this.#fail('not all was given back')
    if (this.#clock.timers !== 0) this.#fail('a timer goes on')
    for (const { outcome, everSlow } of this.uploads) if (outcome === 'ended' && !everSlow) this.#fail('a fast upload was ended')
  }

  #arrival (kind: string, elapsed: () => number) {
    const bytes = Math.ceil(this.#pick([() => this.#between(KIB, MIB), () => this.#between(MIB, 1_024 * MIB), () => 10 * MIB])())
    const rates: Record<string, () => number> = {
      slow: () => this.#between(5_000, 65_000),
      'just above slow': () => this.#between(66_000, 200_000),
      fast: () => this.#between(1_000_000, 2_000_000_000),
      any: () => this.#between(20_000, 2_000_000_000),
    }
    const rate = rates[bytes <= MIB ? 'fast' : kind]!()
    // Some change their mind in the middle, or stand still for a while.
    const turn = this.#random() < 0.2 ? { at: this.#random() * 60_000, rate: this.#between(10_000, 10_000_000) } : { at: Infinity, rate: 0 }
    const stop = this.#random() < 0.1 ? this.#random() * 60_000 : Infinity
    const storeRate = this.#between(300_000, 100_000_000)
    return {
      at: this.#random() * 60_000,
      bytes,
      announced: this.#random() < 0.7,
      partBytes: this.#partBytes,
      givesBackEarly: this.#givesBackEarly,
      windowBytes: this.#windowBytes,
      clientRate: (readingMs: number) => {
        if (elapsed() > FAST_AFTER_MS) return 50_000_000
        if (readingMs >= stop && readingMs < stop + 20_000) return 0
        return readingMs < turn.at ? rate : turn.rate
      },
      storeRate: () => elapsed() > FAST_AFTER_MS ? 50_000_000 : storeRate,
      ...(this.#random() < 0.1 ? { leavesAt: this.#random() * bytes } : {}),
    }
  }

  #check (): void {
    const held = this.uploads.reduce((sum, upload) => sum + upload.held, 0)
    if (held !== this.#account.heldBytes) this.#fail(`${held} bytes are held, but the account knows of ${this.#account.heldBytes}`)
    if (held > this.#budgetBytes || this.#account.committedBytes > this.#budgetBytes) this.#fail(`${held} bytes are held of ${this.#budgetBytes}`)

    const moved = this.uploads.reduce((sum, upload) => sum + upload.moved, 0)
    const underWay = this.uploads.filter(({ outcome }) => outcome === 'under way')
    if (moved !== this.#moved || underWay.some(upload => !upload.isWaiting && upload.isSilent)) {
      this.#moved = moved
      this.#movedAt = this.#clock.now
    } else if (underWay.length > 0 && this.#clock.now - this.#movedAt > 2_000) this.#fail('nothing moves')
  }
}
