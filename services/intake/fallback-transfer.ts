import { mayHaveTags } from '../audio/tags.ts'
import { b2Hints, endsParts, isOnlySlow } from '../b2/error-codes.ts'
import type { B2ReadError } from '../b2/read-requests.ts'
import type { B2Store, B2UploadFailure } from '../b2/store.ts'
import type { CircuitBreaker, Permit } from '../circuit-breaker.ts'
import { MAX_PARTS, SMALLEST_PART_BYTES } from '../config/schema.ts'
import { LocalStoreError } from '../local/errors.ts'
import type { LocalStore } from '../local/store.ts'
import type { UploadContext } from '../log.ts'
import type { JoinOutcome, Promoter } from '../promotion/promoter.ts'
import type { FallbackReason, Receipt, Track } from '../receipt.ts'
import { UploadError } from '../upload-errors.ts'
import type { Intake } from './intake.ts'
import { KeyTaken } from '../idempotency/key-taken.ts'
import { ReplayWindow } from './replay-window.ts'
import { B2Object } from './sinks/b2-object.ts'
import { B2Parts } from './sinks/b2-parts.ts'
import { bothFailed } from './sinks/both-failed.ts'
import { LocalFile } from './sinks/local-file.ts'
import { LocalRest } from './sinks/local-rest.ts'
import { isFailure } from './sinks/sink.ts'
import type { OnHeld, Sink } from './sinks/sink.ts'
import { TrackBuilder } from './track-builder.ts'
import type { IncomingFile } from './track-builder.ts'

/** What uploads are stored with. */
export interface TransferStores {
  /** Undefined in local-only mode. */
  readonly b2: B2Store | undefined
  readonly local: LocalStore
  readonly breaker: CircuitBreaker
  /** Replay window of one upload, in bytes. */
  readonly windowBytes: number
  /** What becomes of a file that B2 fails after its beginning was given up. */
  readonly beyondWindow: 'split' | 'refuse'
  /** Joins a split file at once, if it can. */
  readonly join: Promoter['join']
  /** Media types accepted, `audio/*` style wildcards allowed; empty for any. */
  readonly allowedTypes: readonly string[]
}

// What B2 made of it is not known then.
const ABORTED = { error_code: 'timeout', detail: 'B2 had not answered when the service had to stop', raw: 'The request was aborted.', mayBeStored: true } as const

type LoggedFailure = Pick<B2UploadFailure, 'error_code' | 'detail' | 'attempts' | 'raw'>

/** A client is answered no later than this after its last byte if there is no other bound. */
const LONGEST_JOIN_MS = 45_000

/**
 * Takes one file into a sink, and decides where it goes on if B2 fails: the whole file to local storage while all that came is still in
 * memory; after that only what B2 has not acknowledged, beside the parts that B2 keeps.
 *
 * The pieces that B2 was given stay in the replay window, acknowledged or not, until the file outgrows it.
 */
export class FallbackTransfer {
  readonly #stores: TransferStores
  readonly #intake: Intake
  readonly #file: IncomingFile
  readonly #context: UploadContext
  readonly #signal: AbortSignal
  readonly #window: ReplayWindow
  readonly #builder: TrackBuilder
  /** Known once all of the request has come. */
  #track: Track | undefined
  #allCameAt = Infinity
  #sink: Sink | undefined
  #partBytes = 0
  /** Others wait for the memory of its window. */
  #isLetGo = false
  #permit: Permit | undefined
  #reason: FallbackReason | undefined

  /** @param signal fires when B2 is not waited for any longer; its reason is an {@link UploadError} */
  constructor (stores: TransferStores, intake: Intake, file: IncomingFile, context: UploadContext, signal: AbortSignal) {
    this.#stores = stores
    this.#intake = intake
    this.#file = file
    this.#context = context
    this.#signal = signal
    this.#window = new ReplayWindow(intake)
    this.#builder = new TrackBuilder(file, intake, this.#window)
    intake.onLetGo = () => this.#letGo()
  }

  /** @throws {UploadError} if the file may not or can't be stored; whatever the source failed with. Nothing of the file is left then. */
  async run (): Promise<Receipt> {
    try {
      await this.#builder.findType(this.#stores.allowedTypes)
      this.#sink = await this.#firstSink()
      for (;;) {
        const end = await this.#fill(this.#sink)
        if (!isFailure(end)) return end
        this.#sink = this.#sinkAfter(end, this.#sink)
      }
    } catch (error) {
      await this.#sink?.discard()
      if (!(error instanceof LocalStoreError)) throw error
      // Another process on this directory was faster.
      throw this.#file.attempt !== undefined && error.code === 'EEXIST' ? new KeyTaken() : this.#bothFailed(error)
    } finally {
      this.#permit?.release()
      this.#window.releaseAll()
    }
  }

  async #firstSink (): Promise<Sink> {
    const { b2, local, breaker } = this.#stores
    if (b2 === undefined) return this.#localFile()
    const { key, attempt, unasked } = this.#file
    if (unasked !== undefined) return this.#unasked(unasked)
    if (!breaker.canAcquire(this.#canProbe)) return this.#withoutB2(this.#circuitFailure)
    this.#partBytes = this.#choosePartBytes(b2.partBytes)
    await this.#intake.gather(this.#partBytes)
    // What follows a small file in its form may take long to come: the circuit is asked after that.
    if (this.#intake.isAtEnd) await this.#complete()
    const permit = this.#permit = breaker.tryAcquire(this.#canProbe, this.#context.log)
    if (permit === undefined) return this.#withoutB2(this.#circuitFailure)
    const options = { b2, local, permit, key, attempt, context: this.#context, signal: this.#signal, onHeld: this.#onHeld }
    if (this.#intake.isAtEnd) return new B2Object(options)
    return new B2Parts({
      ...options,
      file: this.#file,
      contentType: this.#builder.contentType,
      partBytes: this.#partBytes,
      mayFallBack: () => this.#splits || this.#window.isWhole,
      needsParts: failure => this.#splits && !this.#window.isWhole && !endsParts(failure),
    })
  }

  /** While memory is short, smaller parts come back sooner, and more uploads move. */
  #choosePartBytes (usual: number): number {
    const { mostBytes, isMemoryShort, expectedBytes = Infinity } = this.#intake
    if (!this.#splits || !isMemoryShort || expectedBytes <= usual || mostBytes > MAX_PARTS * SMALLEST_PART_BYTES) return usual
    const bytes = Math.min(usual, SMALLEST_PART_BYTES)
    this.#intake.usesParts(bytes)
    return bytes
  }

  /** Gives the sink what is in memory and what still comes. Ends early if B2 fails. */
  async #fill (sink: Sink): Promise<Receipt | B2UploadFailure> {
    await sink.open?.()
    for (const piece of this.#window.unstored) await sink.take(piece)
    while (!this.#intake.isAtEnd) {
      // Before more comes: the window may be all the memory that this upload can have.
      if (this.#isOutgrown || !(sink.mayFail || mayHaveTags(this.#builder.contentType))) await this.#giveUpWindow()
      await this.#intake.gather(sink.pieceBytes(this.#intake.capacity), sink.failed)
      if (sink.failed?.aborted === true) return await sink.failure!()
      if (!this.#intake.isAtEnd) await this.#intake.unlessFailed(sink.take(this.#window.add(this.#intake.takePart())))
    }
    const track = await this.#complete()
    return await sink.finish(track, this.#window.add(this.#intake.takePart()))
  }

  /** Tags are read from byte 0 on, so before that goes. */
  async #giveUpWindow (gathered?: Uint8Array): Promise<void> {
    await this.#builder.readTags(gathered)
    // After a failure what is still in memory decides where the file goes.
    if (this.#sink?.failed?.aborted !== true) this.#window.releaseStored()
  }

  /** Others wait for memory. The buffer of what is being gathered may change meanwhile. */
  #letGo (): void {
    this.#isLetGo = true
    this.#giveUpWindow(new Uint8Array(0)).catch(this.#intake.fail)
  }

  /** Waits until all of the request has come; then all is known of the file. */
  async #complete (): Promise<Track> {
    this.#track ??= await this.#builder.finish()
    this.#allCameAt = Math.min(this.#allCameAt, performance.now())
    return this.#track
  }

  /** Where the file goes on after B2 has failed. */
  #sinkAfter (result: B2UploadFailure, before: Sink): Sink {
    const { aborted } = this.#signal
    const failure = aborted ? { ...result, ...ABORTED } : result
    const { error_code, detail, unfinished } = failure
    const { isWhole } = this.#window
    const isLost = !isWhole && unfinished === undefined
    if (!aborted && !isOnlySlow(failure)) this.#permit!.fail(failure, isLost)
    this.#logFailure(failure)
    if (isLost) {
      this.#signal.throwIfAborted()
      const why = this.#splits ? 'what it had of the file can\'t be joined with the rest' : `the file had outgrown the replay window of ${this.#stores.windowBytes} bytes`
      throw new UploadError('fallback_impossible', `${detail}; ${why}.`)
    }
    this.#reason = { error_code, detail }
    this.#window.changeStore(isWhole)
    return isWhole ? this.#localFile(before) : this.#localRest(this.#reason, unfinished!, before as B2Parts)
  }

  /** B2 could not be asked whether it has the file. A key that may not read must not stop other uploads, and all else counts as for a write. */
  #unasked ({ error_code, detail, raw, weight }: B2ReadError): Sink {
    if (weight === 'soft') this.#stores.breaker.tryAcquire(this.#canProbe, this.#context.log)?.fail({ error_code, detail, weight })
    return this.#withoutB2({ error_code, detail, raw, attempts: 1 })
  }

  /** B2 is not given the file. */
  #withoutB2 (failure: LoggedFailure): Sink {
    const { error_code, detail } = failure
    this.#logFailure(failure)
    this.#reason = { error_code, detail }
    return this.#localFile()
  }

  get #circuitFailure (): LoggedFailure {
    return { ...this.#stores.breaker.failure!, raw: 'The circuit is open.', attempts: 0 }
  }

  #localFile (before?: Sink): Sink {
    return new LocalFile({ ...this.#localOptions, expectedBytes: this.#intake.expectedBytes }, this.#reason, before)
  }

  #localRest (reason: FallbackReason, unfinished: NonNullable<B2UploadFailure['unfinished']>, before: B2Parts): Sink {
    const partBytes = this.#partBytes
    const { expectedBytes = 0 } = this.#intake
    return new LocalRest({
      ...this.#localOptions,
      expectedBytes: Math.max(0, expectedBytes - unfinished.parts.length * partBytes),
      reason,
      unfinished,
      partBytes,
      partsBefore: this.#window.count,
      join: async () => await this.#join(),
    }, before)
  }

  get #localOptions () {
    return { local: this.#stores.local, key: this.#file.key, attempt: this.#file.attempt, context: this.#context, onHeld: this.#onHeld }
  }

  /** Outages of seconds are the usual ones: B2 may have recovered while the rest of the file came. */
  async #join (): Promise<JoinOutcome> {
    this.#window.releaseAll()
    this.#permit?.release()
    const timeLeft = this.#allCameAt + (this.#stores.b2!.ackTimeoutMs || LONGEST_JOIN_MS) - performance.now()
    if (this.#signal.aborted || timeLeft <= 0) return { kind: 'later' }
    const end = new AbortController()
    const abort = (): void => end.abort()
    const timer = setTimeout(abort, timeLeft)
    this.#signal.addEventListener('abort', abort)
    try {
      const outcome = await this.#stores.join(this.#file.key, end.signal)
      // Its receipt may be in B2 already.
      if (outcome.kind === 'lost') await this.#stores.b2!.forget(this.#file.key, this.#context.correlationId, this.#file.attempt)
      return outcome
    } finally {
      clearTimeout(timer)
      this.#signal.removeEventListener('abort', abort)
    }
  }

  readonly #onHeld: OnHeld = (number, reuse) => {
    this.#window.markStored(number, reuse)
    if ((this.#isOutgrown || this.#isLetGo) && this.#builder.hasReadTags) this.#window.releaseStored()
  }

  get #splits (): boolean { return this.#stores.beyondWindow === 'split' }

  /** Only an upload that can't be lost may probe whether B2 works again. */
  get #canProbe (): boolean { return this.#splits || (this.#intake.size ?? Infinity) <= this.#stores.windowBytes }

  get #isOutgrown (): boolean { return this.#intake.received > this.#stores.windowBytes }

  #bothFailed (error: LocalStoreError): UploadError {
    // Another process may have seen the file, and have begun to promote it.
    if (error.wasVisible) void this.#stores.b2?.forget(this.#file.key, this.#context.correlationId, this.#file.attempt)
    return bothFailed(this.#reason, error)
  }

  #logFailure ({ error_code, detail, attempts, raw }: LoggedFailure): void {
    const fields = { event: 'b2.failed', error_code, detail, attempts, b2_says: raw, hints: b2Hints(error_code) }
    this.#context.log.warn(fields, 'B2 did not take the file')
  }
}
