import type { B2Emulator, FaultHandle } from '../emulator/index.ts'
import type { B2Fault } from './script.ts'

/** What is wrong with B2. */
export class Trouble {
  readonly #b2: B2Emulator
  #faults: Array<{ readonly handle: FaultHandle, readonly times: number }> = []
  #refuses = false
  #isSlow = false
  #changes = 0

  constructor (b2: B2Emulator) {
    this.#b2 = b2
  }

  /** Returns a function that tells whether B2 may have failed a request since then. */
  watch (): () => boolean {
    const changes = this.#changes
    const isOn = this.#refuses || this.#isSlow || this.#faults.some(({ handle, times }) => handle.applied < times)
    return () => isOn || this.#changes !== changes
  }

  add ({ times = Infinity, ...fault }: B2Fault): void {
    this.#changes++
    this.#faults.push({ handle: this.#b2.fault({ ...fault, times }), times })
  }

  throttle (bytesPerSecond: number, latencyMs: number): void {
    this.#changes++
    this.#isSlow = true
    this.#b2.throttle({ bytesPerSecond, latencyMs })
  }

  async refuse (): Promise<void> {
    this.#changes++
    if (!this.#refuses) await this.#b2.refuseConnections()
    this.#refuses = true
  }

  async lift (): Promise<void> {
    this.#changes++
    this.#b2.clearFaults()
    this.#b2.throttle(null)
    if (this.#refuses) await this.#b2.acceptConnections()
    this.#faults = []
    this.#refuses = this.#isSlow = false
  }
}
