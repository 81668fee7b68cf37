import { finished } from 'node:stream'
import type { Readable } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import { PacedStream } from '../downloads/paced-stream.ts'
import { B2ReadError } from './read-requests.ts'
import type { ReadScope } from './read-requests.ts'

export interface ObjectStreamOptions {
  /** Position of the first byte within the object. */
  readonly first: number
  /** Position after the last byte. */
  readonly end: number
  /** Asks for the bytes from `next` to the end, on a new connection. @throws {B2ReadError} */
  reopen (next: number, signal: AbortSignal): Promise<Readable>
  /** Makes the error that a broken body is reported as. */
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
 * Bytes of an object as B2 sends them, at the reader's pace. If the body breaks off it goes on from the next byte. A reader that
 * pauses has no connection to B2 after a while.
 * Ends short of `end` only with an error, a {@link B2ReadError}; if the reader's signal fires it closes without one.
 */
export class ObjectStream extends PacedStream {
  readonly #options: ObjectStreamOptions
  /** The only one whose bytes count. Undefined: B2 has to be asked. */
  #body: Readable | undefined
  #resumedAt: number
  #breaks = 0
  #brokenBy: unknown
  #isAsking = false

  /** @param body of the answer that began it, which gives the bytes from `first` on */
  constructor (body: Readable, options: ObjectStreamOptions) {
    super(options, options.parkMs ?? PARK_MS)
    this.#options = options
    this.#body = body
    this.#resumedAt = options.first
    const { signal } = options.scope
    const onAbort = (): void => { this.destroy(signal.reason instanceof B2ReadError ? signal.reason : undefined) }
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    this.#follow(body)
  }

  protected override fetch (position: number): void {
    if (this.#body !== undefined) this.#body.resume()
    else if (!this.#isAsking) this.#ask(position).catch(error => this.destroy(error as Error))
  }

  protected override isOpen (): boolean { return this.#body !== undefined }

  protected override park (): void {
    const body = this.#body
    this.#body = undefined
    this.#breaks = 0 // parking is not a break
    body?.destroy()
  }

  override _destroy (error: Error | null, done: (error?: Error | null) => void): void {
    this.#options.scope.done()
    this.#options.scope.abort()
    this.#body?.destroy()
    super._destroy(error, done)
  }

  #follow (body: Readable): void {
    this.#body = body
    body.pause()
    body.on('data', (chunk: Buffer) => {
      if (body !== this.#body) return
      body.pause()
      this.give(chunk)
    })
    finished(body, { writable: false }, cause => {
      if (body !== this.#body) return
      this.#body = undefined
      this.#brokenBy = cause
      if (this.fetched - this.#resumedAt >= PROGRESS_BYTES) this.#breaks = 0
      this.goOn()
    })
  }

  async #ask (position: number): Promise<void> {
    const { signal } = this.#options.scope
    this.#isAsking = true
    this.#resumedAt = position
    for (;;) {
      const pause = PAUSES_MS[this.#breaks++]
      if (pause === undefined) throw this.#options.failure(this.#brokenBy)
      await wait(pause, undefined, { signal })
      try {
        const body = await this.#options.reopen(position, signal)
        this.#isAsking = false
        if (this.destroyed) body.destroy()
        else this.#follow(body)
        this.goOn()
        return
      } catch (error) {
        if (!(error instanceof B2ReadError && error.retryable)) throw error
        this.#brokenBy = error
      }
    }
  }
}
