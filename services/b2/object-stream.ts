import { Readable, finished } from 'node:stream'
import { setTimeout } from 'node:timers/promises'
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
}

const HELD_BYTES = 65_536 // 64 KiB

// One try for each pause; B2's stalls often pass within a minute, and every one found takes its time, too.
const PAUSES_MS = [0, 250, 1_000, 2_500]

// After this much the next break is a new one.
const PROGRESS_BYTES = 1_048_576 // 1 MiB

/**
 * Bytes of an object as B2 sends them, at the reader's pace. Where the body breaks off it goes on from the next byte.
 * Ends short of `end` only with an error, a {@link B2ReadError}; where the reader's signal fires it closes without one.
 */
export class ObjectStream extends Readable {
  readonly #options: ObjectStreamOptions
  #body: Readable
  #next: number
  #resumedAt: number
  #breaks = 0

  constructor (options: ObjectStreamOptions) {
    super({ highWaterMark: HELD_BYTES })
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
    this.#body.resume()
  }

  override _destroy (error: Error | null, done: (error?: Error | null) => void): void {
    this.#options.scope.done()
    this.#options.scope.cancel()
    this.#body.destroy()
    done(error)
  }

  #follow (body: Readable): void {
    this.#body = body
    body.on('data', (chunk: Buffer) => {
      this.#next += chunk.byteLength
      if (!this.push(chunk)) body.pause()
    })
    finished(body, { writable: false }, cause => {
      if (this.destroyed) return
      if (this.#next < this.#options.end) this.#resume(cause).catch(error => this.destroy(error as Error))
      else this.push(null)
    })
  }

  async #resume (brokenBy: unknown): Promise<void> {
    const { signal } = this.#options.scope
    let cause = brokenBy
    if (this.#next - this.#resumedAt >= PROGRESS_BYTES) this.#breaks = 0
    this.#resumedAt = this.#next
    for (;;) {
      const pause = PAUSES_MS[this.#breaks++]
      if (pause === undefined) throw this.#options.failure(cause)
      await setTimeout(pause, undefined, { signal })
      try {
        const body = await this.#options.reopen(this.#next, signal)
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
