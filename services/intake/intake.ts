import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { nextBufferSize } from '../memory/buffer-growth.ts'
import type { BufferPool } from '../memory/buffer-pool.ts'
import type { ClientPace } from './client-pace.ts'
import type { MemoryLease } from '../memory/account.ts'
import { UploadError } from '../upload-errors.ts'

/** A piece of a file in a buffer of the pool. */
export interface Part {
  readonly buffer: Buffer
  /** The bytes of the file in `buffer`. */
  readonly bytes: Uint8Array
}

export interface IntakeOptions {
  readonly stream: Readable
  readonly lease: MemoryLease
  readonly pool: BufferPool
  readonly pace: ClientPace
  /** Largest file accepted, in bytes. */
  readonly maxBytes: number
  /** No more than this many bytes come, where that is known; memory was set aside for no more, so more are an error. */
  readonly expectedBytes?: number
  /** Whether fewer than `expectedBytes` are an error, too. */
  readonly isExact?: boolean
}

/** The source of an upload failed, which is never B2's fault; `cause` is what it failed with. */
export class SourceError extends Error {
  override readonly name = 'SourceError'

  constructor (cause: unknown) {
    super('The source of the upload failed.', { cause })
  }
}

/**
 * The one reader of an upload. It counts and hashes the bytes and gathers them in parts; whatever fails downstream, the
 * source is not touched, so that somebody else can go on with the same bytes.
 */
export class Intake {
  readonly #options: IntakeOptions
  readonly #hash = createHash('sha256')
  readonly #failure: Promise<never>
  #reject: (error: unknown) => void = () => {}
  #pending: Uint8Array[] = []
  #buffer: Buffer | undefined
  #capacity = 0
  #length = 0
  #received = 0
  #ended = false
  #error: unknown
  #wake: (() => void) | undefined
  #absorbing = false

  constructor (options: IntakeOptions) {
    this.#options = options
    this.#failure = new Promise((_resolve, reject) => { this.#reject = reject })
    this.#failure.catch(() => {})
    const { stream } = options
    stream.on('data', this.#onData)
    stream.on('end', this.#onEnd)
    stream.on('error', this.#onError)
    stream.on('close', this.#onClose)
    stream.pause()
    if (stream.errored != null) this.#onError(stream.errored)
    else if (stream.readableEnded) this.fail(new SourceError(new Error('The source had been read to its end before.')))
    else if (stream.destroyed) this.#onClose()
  }

  /** Bytes that came so far. */
  get received (): number { return this.#received }

  /** The bytes gathered since the last {@link takePart}. */
  get gathered (): Uint8Array { return this.#buffer?.subarray(0, this.#length) ?? new Uint8Array(0) }

  /** Size of the buffer that {@link gathered} is in; 0 for none. */
  get capacity (): number { return this.#buffer?.byteLength ?? 0 }

  /** sha256 of all bytes, hex; to be asked for once, at the end. */
  digest (): string { return this.#hash.digest('hex') }

  /** Ends the intake with an error; the first one counts. */
  readonly fail = (error: unknown): void => {
    if (this.#error !== undefined) return
    this.#error = error ?? new Error('The source failed.')
    this.#reject(this.#error)
    this.#wake?.()
  }

  /**
   * Gathers until there are `limit` bytes and more to come ('full'), the source ended ('end'), or `interrupt` fired
   * ('interrupted'; nothing is lost, a later call goes on). Memory is taken as the bytes come.
   *
   * @throws what the source failed with, or what {@link fail} was given.
   */
  async gather (limit: number, interrupt?: AbortSignal): Promise<'full' | 'end' | 'interrupted'> {
    const { stream, pace } = this.#options
    const wake = (): void => this.#wake?.()
    interrupt?.addEventListener('abort', wake)
    this.#capacity = Math.min(this.#buffer?.byteLength ?? 0, limit)
    try {
      for (;;) {
        if (this.#error !== undefined) throw this.#error
        if (interrupt?.aborted === true) return 'interrupted'
        const chunk = this.#pending[0]
        if (chunk !== undefined) {
          const rest = this.#absorb(chunk)
          if (rest === undefined) this.#pending.shift()
          else if (this.#length >= limit) {
            this.#pending[0] = rest
            return 'full'
          } else {
            this.#pending[0] = rest
            await this.#grow(limit, rest.byteLength, interrupt)
          }
          continue
        }
        if (this.#ended) {
          this.#options.lease.takesNoMore()
          return 'end'
        }
        this.#absorbing = true
        const woken = new Promise<void>(resolve => { this.#wake = resolve })
        pace.reading()
        stream.resume()
        await woken
        this.#absorbing = false
        pace.notReading()
      }
    } finally {
      this.#wake = undefined
      this.#absorbing = false
      interrupt?.removeEventListener('abort', wake)
    }
  }

  /**
   * Waits for something else, as long as the source is well.
   *
   * @throws as {@link gather}; the promise is left to itself then
   */
  async unlessFailed<T> (promise: Promise<T>): Promise<T> {
    return await Promise.race([promise, this.#failure])
  }

  /**
   * Waits for what follows the file; then all has come, and nothing that the client does matters any more.
   *
   * @throws as {@link gather}
   */
  async finish<T> (complete: () => Promise<T>): Promise<T> {
    const { pace } = this.#options
    pace.reading()
    try {
      return await this.unlessFailed(complete())
    } finally {
      pace.stop()
    }
  }

  /** Hands over what was gathered; the caller gives it back with {@link release}. */
  takePart (): Part {
    const buffer = this.#buffer ?? Buffer.alloc(0)
    const part = { buffer, bytes: buffer.subarray(0, this.#length) }
    this.#buffer = undefined
    this.#capacity = 0
    this.#length = 0
    this.#options.lease.handOver()
    return part
  }

  /** From now on each part is released when it is stored: the window is outgrown. */
  goByParts (): void {
    this.#options.lease.goByParts(this.capacity)
  }

  /** Gives a part's memory back. With `reuse` false somebody may still read it, and it is left to the garbage collector. */
  release (part: Part, reuse = true): void {
    if (part.buffer.byteLength === 0) return
    this.#options.pool.takeBack(part.buffer, reuse)
    this.#options.lease.give(part.buffer.byteLength)
  }

  /** Lets go of the source and of what was gathered. */
  close (): void {
    const { stream, pace } = this.#options
    pace.stop()
    stream.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose)
    // 'error' stays: a source may still fail, and nobody else listens.
    this.release(this.takePart())
    this.#pending = []
  }

  readonly #onData = (data: unknown): void => {
    // A host's source may give strings, as a stream with an encoding does.
    const chunk = typeof data === 'string' ? Buffer.from(data) : data
    if (!(chunk instanceof Uint8Array)) return this.fail(new SourceError(new TypeError('The source gives neither bytes nor strings.')))
    this.#received += chunk.byteLength
    if (this.#received > this.#options.maxBytes) {
      this.#options.stream.pause()
      return this.fail(new UploadError('file_too_large', `The file has more than ${this.#options.maxBytes} bytes.`))
    }
    const { expectedBytes } = this.#options
    if (expectedBytes !== undefined && this.#received > expectedBytes) {
      this.#options.stream.pause()
      return this.fail(new SourceError(new Error(`The source gave more than the ${expectedBytes} bytes that it had announced.`)))
    }
    this.#hash.update(chunk)
    if (this.#absorbing && this.#pending.length === 0 && this.#buffer !== undefined && this.#length + chunk.byteLength <= this.#capacity) {
      this.#buffer.set(chunk, this.#length)
      this.#length += chunk.byteLength
      return
    }
    this.#pending.push(chunk)
    this.#options.stream.pause()
    this.#wake?.()
  }

  readonly #onEnd = (): void => {
    const { stream, expectedBytes, isExact } = this.#options
    // What the form parser of a host says of a file that it cut off at a limit of its own (@fastify/busboy).
    if ((stream as { truncated?: unknown }).truncated === true) {
      return this.fail(new UploadError('file_too_large', 'The source was cut off by the form parser that it comes from: the file is larger than its limit.',
        { hints: ['Raise the limit of file sizes (fileSize) of that form parser, or send a smaller file.'] }))
    }
    if (isExact === true && this.#received !== expectedBytes) {
      return this.fail(new SourceError(new Error(`The source ended after ${this.#received} of the ${expectedBytes} bytes that it had announced.`)))
    }
    this.#ended = true
    this.#wake?.()
  }

  readonly #onClose = (): void => {
    if (!this.#ended) this.fail(new SourceError(this.#options.stream.errored ?? new Error('The source was closed before its end.')))
  }

  readonly #onError = (error: unknown): void => this.fail(new SourceError(error))

  /** Copies as much as fits; what is left of the chunk, or undefined where nothing is. */
  #absorb (chunk: Uint8Array): Uint8Array | undefined {
    const room = this.#capacity - this.#length
    const taken = room >= chunk.byteLength ? chunk : chunk.subarray(0, Math.max(room, 0))
    this.#buffer?.set(taken, this.#length)
    this.#length += taken.byteLength
    return taken === chunk ? undefined : chunk.subarray(taken.byteLength)
  }

  /** A larger buffer, with the gathered bytes in it; waits for its memory, unless it is interrupted. */
  async #grow (limit: number, more: number, interrupt: AbortSignal | undefined): Promise<void> {
    const { lease, pool } = this.#options
    const before = this.#buffer
    const size = this.#nextSize(limit, more)
    const turn = { granted: false }
    // Both buffers exist for no longer than it takes to copy, so the larger one is all that is paid for.
    turn.granted = lease.take(size - (before?.byteLength ?? 0), () => {
      turn.granted = true
      this.#wake?.()
    })
    while (!turn.granted) {
      await new Promise<void>(resolve => { this.#wake = resolve })
      if (turn.granted || (this.#error === undefined && interrupt?.aborted !== true)) continue
      return lease.stopWaiting()
    }
    const buffer = pool.lend(size)
    this.#buffer = buffer
    this.#capacity = Math.min(size, limit)
    if (before === undefined) return
    buffer.set(before.subarray(0, this.#length))
    pool.takeBack(before)
  }

  #nextSize (limit: number, more: number): number {
    const { expectedBytes = Infinity, pace, lease } = this.#options
    const length = this.#length
    const start = this.#received - this.#pendingBytes() - length
    return nextBufferSize({ start, length, more, limit, expectedBytes, rate: pace.rate(), isCrowded: lease.isCrowded })
  }

  #pendingBytes (): number {
    return this.#pending.reduce((sum, chunk) => sum + chunk.byteLength, 0)
  }
}
