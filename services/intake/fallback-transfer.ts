import { mayHaveTags } from '../audio/tags.ts'
import { b2Hints, isOnlySlow } from '../b2/error-codes.ts'
import { needsCompanion, objectMetadata } from '../b2/object-receipt.ts'
import type { B2PartsUpload, B2Result, B2Store, B2UploadFailure } from '../b2/store.ts'
import type { CircuitBreaker, Permit } from '../circuit-breaker.ts'
import { LocalStoreError } from '../local/errors.ts'
import { withCorrelationId } from '../local/receipts.ts'
import type { LocalStore } from '../local/store.ts'
import type { LocalFileWriter } from '../local/writing/file-writer.ts'
import type { UploadContext } from '../log.ts'
import type { FallbackReason, Receipt, Track } from '../receipt.ts'
import { UploadError } from '../upload-errors.ts'
import type { Intake } from './intake.ts'
import { ReplayWindow } from './replay-window.ts'
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
  /** Media types accepted, `audio/*` style wildcards allowed; empty for any. */
  readonly allowedTypes: readonly string[]
}

const LOCAL_WRITE_BYTES = 1_048_576 // 1 MiB

// What B2 made of it is not known then.
const ABORTED = { error_code: 'timeout', detail: 'B2 had not answered when the service had to stop', raw: 'The request was aborted.', mayBeStored: true } as const

type Reason = FallbackReason | undefined

/**
 * Takes one file to B2, or to local storage if B2 fails while all of the file that came is still in memory.
 *
 * The parts that B2 was given stay in the replay window, acknowledged or not, until the file outgrows it.
 */
export class FallbackTransfer {
  readonly #stores: TransferStores
  readonly #intake: Intake
  readonly #file: IncomingFile
  readonly #context: UploadContext
  readonly #signal: AbortSignal
  readonly #window: ReplayWindow
  readonly #builder: TrackBuilder
  /** The receipt on its way to B2 as an object of its own, if it doesn't fit the file's. */
  #companion: Promise<B2Result> | undefined

  /** @param signal fires when B2 is not waited for any longer; its reason is an {@link UploadError} */
  constructor (stores: TransferStores, intake: Intake, file: IncomingFile, context: UploadContext, signal: AbortSignal) {
    this.#stores = stores
    this.#intake = intake
    this.#file = file
    this.#context = context
    this.#signal = signal
    this.#window = new ReplayWindow(intake)
    this.#builder = new TrackBuilder(file, intake, this.#window)
  }

  /** @throws {UploadError} if the file may not or can't be stored; whatever the source failed with. Nothing of the file is left then. */
  async run (): Promise<Receipt> {
    try {
      const { b2, breaker, allowedTypes } = this.#stores
      await this.#builder.findType(allowedTypes)
      if (b2 === undefined) return await this.#storeLocally(undefined)
      if (!breaker.canAcquire(this.#canProbe())) return await this.#skipB2()
      await this.#intake.gather(b2.partBytes)
      if (!this.#intake.isAtEnd) return await this.#withPermit(permit => this.#putParts(b2, permit))
      // Its client may take its time for what follows the file: nobody waits for B2 until that has come.
      const track = await this.#builder.finish()
      this.#window.add(this.#intake.takePart())
      return await this.#withPermit(permit => this.#putWhole(b2, permit, track), track)
    } finally {
      this.#window.releaseAll()
    }
  }

  /** Asks the circuit; the first request to B2 has to follow at once. */
  async #withPermit (store: (permit: Permit) => Promise<Receipt>, track?: Track): Promise<Receipt> {
    const permit = this.#stores.breaker.tryAcquire(this.#canProbe(), this.#context.log)
    if (permit === undefined) return await this.#skipB2(track)
    try {
      return await store(permit)
    } finally {
      permit.release()
    }
  }

  /** While the circuit is open B2 is not asked. */
  async #skipB2 (track?: Track): Promise<Receipt> {
    const { error_code, detail } = this.#stores.breaker.failure!
    this.#logFailure({ error_code, detail, raw: 'The circuit is open.', attempts: 0 })
    return await this.#storeLocally({ error_code, detail }, track)
  }

  #logFailure ({ error_code, detail, attempts, raw }: Pick<B2UploadFailure, 'error_code' | 'detail' | 'attempts' | 'raw'>): void {
    const fields = { event: 'b2.failed', error_code, detail, attempts, b2_says: raw, hints: b2Hints(error_code) }
    this.#context.log.warn(fields, 'B2 did not take the file')
  }

  /** Only an upload that can't be lost may probe whether B2 works again. */
  #canProbe (): boolean {
    return (this.#intake.size ?? Infinity) <= this.#stores.windowBytes
  }

  /** A file that fits one request is complete in memory before B2 hears of it. */
  async #putWhole (b2: B2Store, permit: Permit, track: Track): Promise<Receipt> {
    const metadata = objectMetadata(track)
    const [context, signal] = [this.#context, this.#signal]
    if (needsCompanion(metadata)) this.#companion = b2.putReceipt(track, { context, signal })
    const result = await b2.put({ key: track.key, contentType: track.content_type, metadata, context }, this.#window.bytes[0]!, track.sha256, { signal })
    if (!result.ok) return await this.#fallBack(result, b2, permit, track)
    permit.succeed()
    this.#window.markStored(1, result.firstTry)
    return await this.#ensureReceipt(b2, track)
  }

  async #putParts (b2: B2Store, permit: Permit): Promise<Receipt> {
    const upload = b2.begin({ key: this.#file.key, contentType: this.#builder.contentType, metadata: objectMetadata(this.#file), context: this.#context }, {
      onPartStored: (number, reuse) => {
        // An answer that comes after the failure must not take a part away that local storage is about to get.
        if (upload.failed.aborted) return
        permit.acknowledge()
        this.#window.markStored(number, reuse)
        this.#releaseOutgrown()
      },
      mayFallBack: () => this.#window.isWhole,
    })
    if (this.#signal.aborted) upload.abort()
    this.#signal.addEventListener('abort', () => upload.abort())
    let track: Track | undefined
    try {
      track = await this.#sendParts(upload, b2)
    } catch (error) {
      upload.abort()
      await upload.result
      throw error
    }
    const result = await upload.result
    if (!result.ok) return await this.#fallBack(result, b2, permit, track)
    permit.succeed()
    return await this.#ensureReceipt(b2, track!)
  }

  /** The file is in B2. Its receipt must be, too, or in local storage until promotion takes it there. */
  async #ensureReceipt (b2: B2Store, track: Track): Promise<Receipt> {
    const receipt: Receipt = { storage: 'b2', location: track.key, track }
    const companion = await this.#companion
    if (companion === undefined || companion.ok) return receipt
    try {
      await this.#stores.local.keepReceipt(track.key, receipt, this.#context)
      return receipt
    } catch (error) {
      await b2.forget(track.key, this.#context.correlationId)
      throw error instanceof LocalStoreError ? bothFailed(companion, error) : error
    }
  }

  /** Gives B2 all parts; returns early, without a track, if B2 fails. */
  async #sendParts (upload: B2PartsUpload, b2: B2Store): Promise<Track | undefined> {
    while (!this.#intake.isAtEnd && !upload.failed.aborted) {
      await this.#sendPart(upload, false)
      if (this.#isOutgrown) {
        // Tags are read from byte 0 on, so before the first part goes.
        await this.#builder.readTags()
        this.#releaseOutgrown()
      }
      await this.#intake.gather(b2.partBytes, upload.failed)
    }
    if (upload.failed.aborted) return undefined
    const track = await this.#builder.finish()
    if (!upload.failed.aborted) this.#companion = b2.putReceipt(track, { context: this.#context, signal: this.#signal })
    await this.#sendPart(upload, true)
    return track
  }

  async #sendPart (upload: B2PartsUpload, last: boolean): Promise<void> {
    const part = this.#intake.takePart()
    this.#window.add(part)
    const taken = upload.push(part.bytes, last)
    await (last ? taken : this.#intake.unlessFailed(taken))
  }

  get #isOutgrown (): boolean { return this.#intake.received > this.#stores.windowBytes }

  #releaseOutgrown (): void {
    if (this.#isOutgrown && this.#builder.hasReadTags) this.#window.releaseStored()
  }

  /** Local storage gets all that is in the window and all that is still to come, if nothing is gone yet. */
  async #fallBack (result: B2UploadFailure, b2: B2Store, permit: Permit, track: Track | undefined): Promise<Receipt> {
    const { aborted } = this.#signal
    const failure = aborted ? { ...result, ...ABORTED } : result
    if (!aborted && !isOnlySlow(failure)) permit.fail(failure, !this.#window.isWhole)
    this.#logFailure(failure)
    const reason = { error_code: failure.error_code, detail: failure.detail }
    try {
      if (!this.#window.isWhole) {
        this.#signal.throwIfAborted()
        throw new UploadError('fallback_impossible', `${failure.detail}; the file had outgrown the replay window of ${this.#stores.windowBytes} bytes.`)
      }
      const receipt = await this.#storeLocally(reason, track)
      // Who knows of the file may delete it: a receipt that came to B2 after that would stay there.
      await this.#companion
      return receipt
    } catch (error) {
      // Nobody will ever know of an object that B2 may have stored without telling, nor of a receipt without its file.
      if (failure.mayBeStored || this.#companion !== undefined) this.#forget(b2)
      throw error
    }
  }

  /** Waits for the receipt under way, which would arrive after its removal. Neither of them rejects. */
  #forget (b2: B2Store): void {
    Promise.resolve(this.#companion).then(() => b2.forget(this.#file.key, this.#context.correlationId), () => {})
  }

  async #storeLocally (reason: Reason, track?: Track): Promise<Receipt> {
    const { local } = this.#stores
    const { key } = this.#file
    let writer: LocalFileWriter | undefined
    try {
      writer = await local.create(key, { log: this.#context.log, expectedBytes: this.#intake.expectedBytes })
      for (const bytes of this.#window.bytes) await writer.write(bytes)
      this.#window.markAllStored()
      if (track === undefined) {
        await this.#writeRest(writer)
        track = await this.#builder.finish()
      }
      const receipt = localReceipt(local.location(key), track, reason)
      await writer.commit(withCorrelationId(receipt, this.#context))
      return receipt
    } catch (error) {
      await writer?.discard()
      const { b2 } = this.#stores
      if (b2 !== undefined && error instanceof LocalStoreError && error.wasVisible) this.#forget(b2)
      throw error instanceof LocalStoreError ? bothFailed(reason, error) : error
    }
  }

  async #writeRest (writer: LocalFileWriter): Promise<void> {
    for (;;) {
      // What is written is only kept for its tags, and no longer than the window. It goes before more comes, since the window may
      // be all the memory that this upload can have.
      if (this.#isOutgrown || !mayHaveTags(this.#builder.contentType)) {
        await this.#builder.readTags()
        this.#window.releaseStored()
      }
      // A buffer that was begun for B2 is filled first: its memory is taken already.
      if (!this.#intake.isAtEnd) await this.#intake.gather(Math.max(LOCAL_WRITE_BYTES, this.#intake.capacity))
      if (this.#intake.gathered.byteLength > 0) {
        const part = this.#intake.takePart()
        const number = this.#window.add(part)
        await writer.write(part.bytes)
        this.#window.markStored(number, true)
      }
      if (this.#intake.isAtEnd) return
    }
  }
}

function localReceipt (location: string, track: Track, reason: Reason): Receipt {
  return {
    storage: 'local',
    location,
    ...(reason === undefined ? {} : { fallback_from_b2: true as const, fallback_reason: reason }),
    track,
  }
}

function bothFailed (reason: Reason, error: LocalStoreError): UploadError {
  const local = `local storage: ${error.error_code} (${error.message})`
  const detail = reason === undefined ? local : `B2: ${reason.error_code} (${reason.detail}); ${local}`
  return new UploadError('storage_unavailable', detail, { cause: error })
}
