import { createHash } from 'node:crypto'
import type { Hash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { mostMemory, nextBufferSize } from '../memory/buffer-growth.ts'
import type { BufferPool } from '../memory/buffer-pool.ts'
import type { Borrower, MemoryAccount, MemoryLease } from '../memory/account.ts'
import { ClientPace } from './client-pace.ts'
import { ReplayError, SourceError } from './source.ts'
import type { Source } from './source.ts'
import { UploadError } from '../upload-errors.ts'

/** A piece of a file in a buffer of the pool. */
export interface Part {
  readonly buffer: Buffer
  /** The bytes of the file in `buffer`. */
  readonly bytes: Uint8Array
}

export interface IntakeOptions {
  readonly account: MemoryAccount
  readonly pool: BufferPool
  /** Bytes of a part. */
  readonly partBytes: number
  /** Largest file accepted, in bytes. */
  readonly maxBytes: number
  /** Milliseconds without a byte after which the client has stalled. */
  readonly idleTimeoutMs: number
  /** Least bytes per second, averaged over `idleTimeoutMs`; 0 for no such rule. */
  readonly minRate: number
}

/**
 * The one reader of an upload. It counts and hashes the bytes, gathers them in parts, and watches how fast they come. If anything fails
 * downstream, the source is not touched, so that somebody else can go on with the same bytes.
 */
export class Intake implements Borrower {
  /** Most memory that it needs. */
  readonly need: number
  readonly #source: Source
  readonly #options: IntakeOptions
  readonly #pace: ClientPace
  readonly #hash: Hash
  readonly #failure: Promise<never>
  #lease!: MemoryLease
  /** What is read now: what is stored of the file already, or what the client sends. */
  #stream: Readable
  #reject: (error: unknown) => void = () => {}
  #pending: Uint8Array[] = []
  #buffer: Buffer | undefined
  #capacity = 0
  #length = 0
  #received = 0
  #ended = false
  #isAtEnd = false
  #error: unknown
  #wake: (() => void) | undefined
  #absorbing = false
  /** When something came, or it began to be read. */
  #lastAt = 0

  /** @param hash what it hashes with, which may have seen the beginning of the file */
  constructor (source: Source, options: IntakeOptions, hash = createHash('sha256')) {
    const { expectedBytes } = source
    const { partBytes, idleTimeoutMs, minRate } = options
    this.#source = source
    this.#options = options
    this.#hash = hash
    this.#stream = source.stream
    this.need = expectedBytes === undefined ? Infinity : mostMemory(expectedBytes, partBytes)
    this.#failure = new Promise((_resolve, reject) => { this.#reject = reject })
    this.#failure.catch(() => {})
    this.#pace = new ClientPace({
      idleTimeoutMs,
      minRate,
      received: () => source.received?.() ?? this.#received,
      onStalled: reason => this.fail(new UploadError('upload_stalled', reason === 'idle'
        ? `Nothing came for ${idleTimeoutMs} ms.`
        : `Less than ${minRate} bytes a second came over ${idleTimeoutMs} ms.`)),
    })
  }

  /**
   * Begins to read.
   * @param decide asked before the client has to send the file, which then is known but for its bytes; false if they are not wanted
   * @throws as {@link gather}; what `decide` throws
   */
  async open (decide?: () => Promise<boolean>): Promise<void> {
    this.#pace.resume()
    if (this.#source.open !== undefined) await this.unlessFailed(this.#source.open())
    this.#lease = this.#options.account.open(this)
    const { stream, before } = this.#source
    stream.on('error', this.#onError)
    stream.on('close', this.#onClose)
    if (before === undefined) this.#read(stream)
    else this.#replay(before)
    if (stream.errored != null) this.#onError(stream.errored)
    else if (stream.readableEnded) this.fail(new SourceError(new Error('The source had been read to its end before.')))
    else if (stream.destroyed) this.#onClose()
    if (decide === undefined || await this.#await(decide())) this.#source.begin?.()
  }

  /** Waits for what the client has no part in, so it is not slow meanwhile. */
  async #await<T> (promise: Promise<T>): Promise<T> {
    this.#pace.pause()
    const result = await this.unlessFailed(promise)
    this.#pace.resume()
    return result
  }

  #read (stream: Readable): void {
    this.#stream = stream
    stream.on('data', this.#onData)
    stream.on('end', this.#onEnd)
    if (this.#absorbing) stream.resume()
    else stream.pause()
  }

  /** Reads what is stored first. The client waits for that, so it is not slow meanwhile. */
  #replay (before: Readable): void {
    this.#pace.pause()
    this.#stream = before
    before.on('data', this.#onData)
    before.on('error', error => this.fail(new ReplayError(error)))
    before.on('end', () => {
      before.off('data', this.#onData)
      if (this.#absorbing) this.#pace.resume()
      this.#read(this.#source.stream)
    })
    before.pause()
  }

  /** Whether what was stored before is still being read. */
  get isReplaying (): boolean { return this.#stream !== this.#source.stream }

  /** Bytes per second of its client; see {@link ClientPace.rate}. */
  rate (): number | undefined { return this.#pace.rate() }

  /** Fails because its client is slow and others wait for its memory. */
  end (): void {
    this.fail(new UploadError('overloaded', 'The upload was slow while others waited for its memory.'))
  }

  /** Called when others wait for the memory that this upload could do without. */
  onLetGo: () => void = () => {}

  letGo (): void { this.onLetGo() }

  /** Whether memory is short. */
  get isMemoryShort (): boolean { return this.#lease.isShort }

  /** Has the file gathered in parts of this size. */
  usesParts (bytes: number): void {
    this.#lease.usesParts(bytes)
  }

  /** Says that a part is stored, and kept only as long as nobody waits for its memory; or that it is needed again. */
  keep ({ buffer }: Part, isKept: boolean): void {
    this.#lease.keep(isKept ? buffer.byteLength : -buffer.byteLength)
  }

  /** Milliseconds for which nothing has come although it is read; 0 while it is not. */
  get silentMs (): number { return this.#absorbing && !this.isReplaying ? performance.now() - this.#lastAt : 0 }

  /** Bytes that came so far. */
  get received (): number { return this.#received }

  /** Whether all bytes have been gathered. */
  get isAtEnd (): boolean { return this.#isAtEnd }

  /** At most this many bytes come, if that is known from the beginning. */
  get expectedBytes (): number | undefined { return this.#source.expectedBytes }

  /** Most bytes that the file can have. */
  get mostBytes (): number { return this.expectedBytes ?? this.#options.maxBytes }

  /** Bytes of the file, as far as is known. */
  get size (): number | undefined { return this.#isAtEnd ? this.#received : this.expectedBytes }

  /** The bytes gathered since the last {@link takePart}. */
  get gathered (): Uint8Array { return this.#buffer?.subarray(0, this.#length) ?? new Uint8Array(0) }

  /** Size of the buffer that {@link gathered} is in; 0 for none. */
  get capacity (): number { return this.#buffer?.byteLength ?? 0 }

  /**
   * sha256 of all bytes, hex; to be asked for once, after {@link finish}.
   *
   * @throws what the source says of a file that is not the one its client means
   */
  digest (): string {
    const sha256 = this.#hash.digest('hex')
    this.#source.verify?.(sha256)
    return sha256
  }

  /** A hash of all that has been gathered up to now, which can go on by itself. */
  copyHash (): Hash { return this.#hash.copy() }

  /** Makes the intake fail; the first error counts. */
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
          this.#lease.takesNoMore()
          this.#isAtEnd = true
          return 'end'
        }
        this.#absorbing = true
        this.#lastAt = performance.now()
        const woken = new Promise<void>(resolve => { this.#wake = resolve })
        if (!this.isReplaying) this.#pace.resume()
        this.#stream.resume()
        await woken
        this.#absorbing = false
        this.#pace.pause()
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
   * Waits for what follows the file, and gives the text fields; then all has come, and nothing that the client does matters any more.
   *
   * @throws as {@link gather}
   */
  async finish (): Promise<Record<string, string>> {
    this.#pace.resume()
    try {
      return await this.unlessFailed(this.#source.complete())
    } finally {
      this.#pace.stop()
    }
  }

  /** Hands over what was gathered; the caller gives it back with {@link release}. */
  takePart (): Part {
    const buffer = this.#buffer ?? Buffer.alloc(0)
    const part = { buffer, bytes: buffer.subarray(0, this.#length) }
    this.#buffer = undefined
    this.#capacity = 0
    this.#length = 0
    this.#lease.handOver()
    return part
  }

  /** From now on each part is released when it is stored: the window is outgrown. */
  goByParts (): void {
    this.#lease.goByParts(this.capacity)
  }

  /** Gives a part's memory back. With `reuse` false somebody may still read it, and it is left to the garbage collector. */
  release (part: Part, reuse = true): void {
    if (part.buffer.byteLength === 0) return
    this.#options.pool.takeBack(part.buffer, reuse)
    this.#lease.give(part.buffer.byteLength)
  }

  /** Lets go of the source and of all memory. */
  close (): void {
    this.#pace.stop()
    if (this.#lease === undefined) return // it was never opened
    this.#source.before?.off('data', this.#onData).destroy()
    // 'error' stays: the source may still fail, and nothing else listens.
    this.#source.stream.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose)
    this.release(this.takePart())
    this.#pending = []
    this.#lease.close()
  }

  readonly #onData = (data: unknown): void => {
    // A host's source may give strings, as a stream with an encoding does.
    const chunk = typeof data === 'string' ? Buffer.from(data) : data
    if (!(chunk instanceof Uint8Array)) return this.fail(new SourceError(new TypeError('The source gives neither bytes nor strings.')))
    this.#received += chunk.byteLength
    this.#lastAt = performance.now()
    if (this.#received > this.#options.maxBytes) {
      this.#stream.pause()
      return this.fail(new UploadError('file_too_large', `The file has more than ${this.#options.maxBytes} bytes.`))
    }
    const { expectedBytes } = this.#source
    if (expectedBytes !== undefined && this.#received > expectedBytes) {
      this.#stream.pause()
      return this.fail(new SourceError(new Error(`The source gave more than the ${expectedBytes} bytes that it had announced.`)))
    }
    if (this.#absorbing && this.#pending.length === 0 && this.#buffer !== undefined && this.#length + chunk.byteLength <= this.#capacity) {
      this.#take(chunk)
      return
    }
    this.#pending.push(chunk)
    this.#stream.pause()
    this.#wake?.()
  }

  readonly #onEnd = (): void => {
    const { stream, expectedBytes, isExact } = this.#source
    // What the form parser of a host says of a file that it cut off at a limit of its own (@fastify/busboy).
    if ((stream as { truncated?: unknown }).truncated === true) {
      return this.fail(new UploadError('file_too_large', 'The source was cut off by the form parser that it comes from: the file is larger than its limit.',
        { hints: ['Raise the limit of file sizes (fileSize) of that form parser, or send a smaller file.'] }))
    }
    if (isExact === true && expectedBytes !== undefined && this.#received !== expectedBytes) {
      return this.fail(new SourceError(new Error(`The source ended after ${this.#received} of the ${expectedBytes} bytes that it had announced.`)))
    }
    this.#ended = true
    this.#wake?.()
  }

  readonly #onClose = (): void => {
    if (!this.#ended) this.fail(new SourceError(this.#source.stream.errored ?? new Error('The source was closed before its end.')))
  }

  readonly #onError = (error: unknown): void => this.fail(new SourceError(error))

  /** Copies as much as fits; what is left of the chunk, or undefined if nothing is. */
  #absorb (chunk: Uint8Array): Uint8Array | undefined {
    const room = this.#capacity - this.#length
    const taken = room >= chunk.byteLength ? chunk : chunk.subarray(0, Math.max(room, 0))
    this.#take(taken)
    return taken === chunk ? undefined : chunk.subarray(taken.byteLength)
  }

  #take (bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return
    this.#hash.update(bytes)
    this.#buffer!.set(bytes, this.#length)
    this.#length += bytes.byteLength
  }

  /** A larger buffer, with the gathered bytes in it; waits for its memory, unless it is interrupted. */
  async #grow (limit: number, more: number, interrupt: AbortSignal | undefined): Promise<void> {
    const { pool } = this.#options
    const lease = this.#lease
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
    const { expectedBytes = Infinity } = this.#source
    const length = this.#length
    const start = this.#received - this.#pendingBytes() - length
    return nextBufferSize({ start, length, more, limit, expectedBytes, rate: this.rate(), isCrowded: this.#lease.isCrowded })
  }

  #pendingBytes (): number {
    return this.#pending.reduce((sum, chunk) => sum + chunk.byteLength, 0)
  }
}
