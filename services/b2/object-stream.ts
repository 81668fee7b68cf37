import { Readable, finished } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import { B2ReadError } from './read-error.ts'
import type { ReadScope } from './read-requests.ts'

export interface ObjectStreamOptions {
  /** Body of the answer that began it, which gives the bytes from `first` on. */
  readonly body: Readable
  /** Position of the first byte within the object. */
  readonly first: number
  /** Position after the last byte. */
  readonly end: number
  /** Asks for the bytes from `next` to the end, on a new connection. @throws {B2ReadError} */
  reopen (next: number, signal: AbortSignal): Promise<Readable>
  /** What a broken body is reported as. */
  failure (cause: unknown): B2ReadError
  readonly scope: ReadScope
  /** Milliseconds after which the body of a reader that pauses is given up, to be asked for again. Default 5,000. */
  readonly parkMs?: number
}

/** Milliseconds after which a reader that takes nothing has no connection to B2 any more. Many may stand still for long. */
const PARK_MS = 5_000

// One try for each pause; B2's stalls often pass within a minute, and every one found takes its time, too.
const PAUSES_MS = [0, 250, 1_000, 2_500]

// After this much the next break is a new one.
const PROGRESS_BYTES = 1_048_576 // 1 MiB

/**
 * Bytes of an object as B2 sends them, at the reader's pace. Where the body breaks off it goes on from the next byte. For a reader that
 * pauses it holds no bytes of its own, and after a while no connection either.
 * Ends short of `end` only with an error, a {@link B2ReadError}; where the reader's signal fires it closes without one.
 */
export class ObjectStream extends Readable {
  readonly #options: ObjectStreamOptions
  #body: Readable
  #next: number
  #resumedAt: number
  #breaks = 0
  #parkTimer: NodeJS.Timeout | undefined
  #isParked = false
  #isReopening = false

  constructor (options: ObjectStreamOptions) {
    super({ highWaterMark: 0 })
    this.#options = options
    this.#body = options.body
    this.#next = this.#resumedAt = options.first
    const { signal } = options.scope
    const onAbort = (): void => { this.destroy(signal.reason instanceof B2ReadError ? signal.reason : undefined) }
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    this.#follow(options.body)
  }

  override _read (): void {
    clearTimeout(this.#parkTimer)
    this.#parkTimer = undefined
    if (!this.#isParked) {
      this.#body.resume()
      return
    }
    this.#isParked = false
    this.#breaks = 0 // this is none
    this.#reopen().catch(error => this.destroy(error as Error))
  }

  override _destroy (error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#parkTimer)
    this.#options.scope.done()
    this.#options.scope.cancel()
    this.#body.destroy()
    done(error)
  }

  #follow (body: Readable): void {
    this.#body = body
    body.on('data', (chunk: Buffer) => {
      this.#next += chunk.byteLength
      // Going on would mean to hold what comes until the reader goes on.
      if (!this.push(chunk) || this.isPaused()) this.#pause(body)
    })
    finished(body, { writable: false }, cause => {
      if (this.destroyed || this.#isParked || body !== this.#body) return
      if (this.#next < this.#options.end) this.#resume(cause).catch(error => this.destroy(error as Error))
      else this.push(null)
    })
  }

  #pause (body: Readable): void {
    body.pause()
    if (this.#next >= this.#options.end || this.#isReopening) return
    this.#parkTimer ??= setTimeout(() => {
      this.#parkTimer = undefined
      if (this.#isReopening) return
      this.#isParked = true
      this.#body.destroy()
    }, this.#options.parkMs ?? PARK_MS).unref()
  }

  async #resume (brokenBy: unknown): Promise<void> {
    if (this.#next - this.#resumedAt >= PROGRESS_BYTES) this.#breaks = 0
    this.#resumedAt = this.#next
    await this.#reopen(brokenBy)
  }

  async #reopen (brokenBy?: unknown): Promise<void> {
    const { signal } = this.#options.scope
    let cause = brokenBy
    this.#isReopening = true
    for (;;) {
      const pause = PAUSES_MS[this.#breaks++]
      if (pause === undefined) throw this.#options.failure(cause)
      await wait(pause, undefined, { signal })
      try {
        const body = await this.#options.reopen(this.#next, signal)
        this.#isReopening = false
        if (this.destroyed) body.destroy()
        else this.#follow(body)
        return
      } catch (error) {
        if (!(error instanceof B2ReadError && error.retryable)) throw error
        cause = error
      }
    }
  }
}
