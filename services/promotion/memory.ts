import type { MemoryAccount, MemoryLease } from '../memory/account.ts'
import { Places } from '../tasks/places.ts'
import { untilAborted } from '../tasks/until-aborted.ts'

/** Share of the budget that all promotions may hold together, if there is more than one. */
const SHARE = 1 / 4

/**
 * Takes the memory for promotions' buffers, so that live uploads come first: at most one promotion waits in the account's queue,
 * and together they hold no more than their share.
 */
export class PromotionMemory {
  readonly #account: MemoryAccount
  readonly #limit: number
  readonly #isBackground: boolean
  #held = 0
  readonly #turn = new Places(1)
  #onFree = (): void => {}

  /** @param isBackground false if clients wait for these promotions */
  constructor (account: MemoryAccount, isBackground = true) {
    this.#account = account
    this.#isBackground = isBackground
    this.#limit = account.budgetBytes * SHARE
  }

  /** Waits for the bytes. Returns the function that gives them back. @throws the reason of `signal` */
  async take (bytes: number, signal: AbortSignal): Promise<() => void> {
    const leave = await this.#turn.enter(signal)
    try {
      while (this.#held > 0 && this.#held + bytes > this.#limit) {
        await untilAborted(new Promise<void>(resolve => { this.#onFree = resolve }), signal)
      }
      return await this.#takeNow(bytes, signal)
    } finally {
      leave()
    }
  }

  async #takeNow (bytes: number, signal: AbortSignal): Promise<() => void> {
    // If no client waits for it, it comes after those that have one. It is never aborted for being slow.
    const lease = this.#account.open({ need: bytes, isBackground: this.#isBackground, rate: () => undefined, end: () => {} })
    try {
      await taken(lease, bytes, signal)
    } catch (error) {
      lease.close()
      throw error
    }
    this.#held += bytes
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      this.#held -= bytes
      lease.close()
      this.#onFree()
    }
  }
}

async function taken (lease: MemoryLease, bytes: number, signal: AbortSignal): Promise<void> {
  await untilAborted(new Promise<void>(resolve => {
    if (signal.aborted || lease.take(bytes, resolve)) resolve()
  }), signal)
}
