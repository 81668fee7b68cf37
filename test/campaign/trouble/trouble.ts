import type { B2Emulator, FaultHandle } from '../../../emulator/index.ts'
import type { B2Fault } from '../script.ts'

const LOOK_MS = 50
// Half of the shortest time after which services take B2 for stalled.
const STANDSTILL_MS = 250

/** What is wrong with B2, be it that the machine has no time for it. */
export class Trouble {
  readonly #b2: B2Emulator
  #faults: Array<{ readonly handle: FaultHandle, readonly times: number }> = []
  #refuses = false
  #isSlow = false
  #changes = 0
  readonly #timer: NodeJS.Timeout

  constructor (b2: B2Emulator) {
    this.#b2 = b2
    let last = performance.now()
    this.#timer = setInterval(() => {
      const now = performance.now()
      if (now - last > STANDSTILL_MS) this.#changes++
      last = now
    }, LOOK_MS)
  }

  close (): void {
    clearInterval(this.#timer)
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

  throttle (bytesPerSecond: number, latencyMs: number, isShared = false): void {
    this.#changes++
    this.#isSlow = true
    this.#b2.throttle({ bytesPerSecond, latencyMs, isShared })
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
