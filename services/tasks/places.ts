import { untilAborted } from './until-aborted.ts'

/** Places for a few tasks at once; further ones wait, first come, first served. */
export class Places {
  #free: number
  #waiting: Array<() => void> = []

  constructor (count: number) {
    this.#free = count
  }

  /** Waits for a place. Returns the function that leaves it, which may be called again. @throws the reason of `signal` */
  async enter (signal: AbortSignal): Promise<() => void> {
    if (this.#free > 0) {
      this.#free--
      return this.#leave()
    }
    let call = (): void => {}
    const called = new Promise<void>(resolve => { call = resolve })
    this.#waiting.push(call)
    try {
      await untilAborted(called, signal)
    } catch (error) {
      const isWaiting = this.#waiting.includes(call)
      this.#waiting = this.#waiting.filter(other => other !== call)
      if (!isWaiting) this.#leave()() // it was called just now
      throw error
    }
    return this.#leave()
  }

  #leave (): () => void {
    let isHere = true
    return () => {
      if (!isHere) return
      isHere = false
      const next = this.#waiting.shift()
      if (next === undefined) this.#free++
      else next()
    }
  }
}
