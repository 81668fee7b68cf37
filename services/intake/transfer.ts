import { b2Hints, isOnlySlow } from '../b2/error-codes.ts'
import { needsCompanion, objectMetadata } from '../b2/object-receipt.ts'
import type { B2PartsUpload, B2Result, B2Store, B2UploadFailure } from '../b2/store.ts'
import type { AudioTags } from '../audio/tags.ts'
import { mayHaveTags, readAudioTags } from '../audio/tags.ts'
import type { CircuitBreaker, Permit } from '../circuit-breaker.ts'
import { contentTypeOf, isAllowedType } from './content-type.ts'
import { ReplayWindow } from './replay-window.ts'
import type { Intake } from './intake.ts'
import { tagsEnd } from '../audio/id3.ts'
import type { LocalFileWriter } from '../local/writing/file-writer.ts'
import { LocalStoreError } from '../local/errors.ts'
import { withCorrelationId } from '../local/receipts.ts'
import type { LocalStore } from '../local/store.ts'
import type { UploadContext } from '../log.ts'
import type { FallbackReason, Receipt, Track } from '../track.ts'
import { UploadError } from '../upload-errors.ts'

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

/** The file that comes in. */
export interface IncomingFile {
  readonly id: string
  readonly key: string
  readonly filename: string
  readonly declaredType: string | undefined
  /** At most this many bytes come, if that is known. */
  readonly expectedBytes: number | undefined
}

const SNIFF_BYTES = 65_536 // 64 KiB
const MOST_TAG_BYTES = 5_242_880 // 5 MiB: the smallest part
const LOCAL_WRITE_BYTES = 1_048_576 // 1 MiB

// What B2 made of it is not known then.
const ABORTED = { error_code: 'timeout', detail: 'B2 had not answered when the service had to end', raw: 'The request was ended.', mayBeStored: true } as const

type Reason = FallbackReason | undefined

/**
 * Takes one file to B2, or to local storage if B2 fails while all of the file that came is still in memory.
 *
 * The parts that B2 was given stay in the replay window, acknowledged or not, until the file outgrows it.
 */
export class Transfer {
  readonly #stores: TransferStores
  readonly #intake: Intake
  readonly #file: IncomingFile
  readonly #context: UploadContext
  readonly #signal: AbortSignal
  readonly #window: ReplayWindow
  #contentType = 'application/octet-stream'
  #audio: AudioTags | null | undefined
  #atEnd = false
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
  }

  /** @throws {UploadError} if the file may not or can't be stored; whatever the source failed with. Nothing of the file is left then. */
  async run (): Promise<Receipt> {
    try {
      await this.#gatherHead()
      await this.#checkType()
      const { b2, breaker } = this.#stores
      if (b2 === undefined) return await this.#toLocal(undefined)
      if (!breaker.wouldPermit(this.#canProbe())) return await this.#passBy()
      await this.#gather(b2.partBytes)
      if (!this.#atEnd) return await this.#withPermit(permit => this.#putParts(b2, permit))
      // Its client may take its time for what follows the file: nobody waits for B2 until that has come.
      const track = await this.#finish()
      this.#window.add(this.#intake.takePart())
      return await this.#withPermit(permit => this.#putWhole(b2, permit, track), track)
    } finally {
      this.#window.releaseAll()
    }
  }

  /** Asks for the circuit's leave; the first request to B2 has to follow at once. */
  async #withPermit (store: (permit: Permit) => Promise<Receipt>, track?: Track): Promise<Receipt> {
    const permit = this.#stores.breaker.ask(this.#canProbe(), this.#context.log)
    if (permit === undefined) return await this.#passBy(track)
    try {
      return await store(permit)
    } finally {
      permit.released()
    }
  }

  /** The circuit is open: B2 is known to be failing, and is left alone. */
  async #passBy (track?: Track): Promise<Receipt> {
    const { error_code, detail } = this.#stores.breaker.failure!
    this.#logFailure({ error_code, detail, raw: 'The circuit is open.', attempts: 0 })
    return await this.#toLocal({ error_code, detail }, track)
  }

  #logFailure ({ error_code, detail, attempts, raw }: Pick<B2UploadFailure, 'error_code' | 'detail' | 'attempts' | 'raw'>): void {
    const fields = { event: 'b2.failed', error_code, detail, attempts, b2_says: raw, hints: b2Hints(error_code) }
    this.#context.log.warn(fields, 'B2 did not take the file')
  }

  async #gather (limit: number, interrupt?: AbortSignal): Promise<void> {
    this.#atEnd = await this.#intake.gather(limit, interrupt) === 'end'
  }

  /** As much as shows what the file is: that is behind the tags that it begins with, if they are not too large. */
  async #gatherHead (): Promise<void> {
    await this.#gather(SNIFF_BYTES)
    let tags = 0
    for (let end = tagsEnd(this.#intake.gathered); end > tags && !this.#atEnd; end = tagsEnd(this.#intake.gathered)) {
      tags = end
      if (tags + SNIFF_BYTES / 2 <= this.#intake.gathered.byteLength || tags > MOST_TAG_BYTES) return
      await this.#gather(tags + SNIFF_BYTES)
    }
  }

  async #checkType (): Promise<void> {
    const { allowedTypes } = this.#stores
    const { type, isSniffed } = await contentTypeOf(this.#intake.gathered, this.#file)
    // What only claims to be audio has no tags that can be read, and looking for them in it takes long.
    if (!isSniffed) this.#audio = null
    if (!isAllowedType(type, allowedTypes)) {
      throw new UploadError('unsupported_media_type', `The file is ${type}, which is not accepted here.`,
        { hints: [`Send one of: ${allowedTypes.join(', ')}.`] })
    }
    this.#contentType = type
  }

  /** Only an upload that can't be lost may try whether B2 is well again. */
  #canProbe (): boolean {
    return (this.#atEnd ? this.#intake.received : this.#file.expectedBytes ?? Infinity) <= this.#stores.windowBytes
  }

  /** A file that fits one request: it is complete in memory before B2 hears of it. */
  async #putWhole (b2: B2Store, permit: Permit, track: Track): Promise<Receipt> {
    const metadata = objectMetadata(track)
    const [context, signal] = [this.#context, this.#signal]
    if (needsCompanion(metadata)) this.#companion = b2.putReceipt(track, { context, signal })
    const result = await b2.put({ key: track.key, contentType: track.content_type, metadata, context }, this.#window.bytes[0]!, track.sha256, { signal })
    if (!result.ok) return await this.#fallBack(result, b2, permit, track)
    permit.succeeded()
    this.#window.markStored(1, result.firstTry)
    return await this.#stored(b2, track)
  }

  async #putParts (b2: B2Store, permit: Permit): Promise<Receipt> {
    const upload = b2.begin({ key: this.#file.key, contentType: this.#contentType, metadata: objectMetadata(this.#file), context: this.#context }, {
      onPartStored: (number, reuse) => {
        // An answer that comes after the failure must not take a part away that local storage is about to get.
        if (upload.failed.aborted) return
        permit.acknowledged()
        this.#window.markStored(number, reuse)
        this.#shrink()
      },
      mayFallBack: () => this.#window.isWhole,
    })
    if (this.#signal.aborted) upload.abort()
    this.#signal.addEventListener('abort', () => upload.abort())
    let track: Track | undefined
    try {
      track = await this.#feed(upload, b2)
    } catch (error) {
      upload.abort()
      await upload.result
      throw error
    }
    const result = await upload.result
    if (!result.ok) return await this.#fallBack(result, b2, permit, track)
    permit.succeeded()
    return await this.#stored(b2, track!)
  }

  /** The file is in B2. Its receipt must be, too, or in local storage until promotion takes it there. */
  async #stored (b2: B2Store, track: Track): Promise<Receipt> {
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

  /** Gives B2 all parts; returns early, without a track, where B2 failed. */
  async #feed (upload: B2PartsUpload, b2: B2Store): Promise<Track | undefined> {
    while (!this.#atEnd && !upload.failed.aborted) {
      await this.#push(upload, false)
      if (this.#isOutgrown) {
        // Tags are read from byte 0 on, so before the first part goes.
        await this.#readTags()
        this.#shrink()
      }
      await this.#gather(b2.partBytes, upload.failed)
    }
    if (upload.failed.aborted) return undefined
    const track = await this.#finish()
    if (!upload.failed.aborted) this.#companion = b2.putReceipt(track, { context: this.#context, signal: this.#signal })
    await this.#push(upload, true)
    return track
  }

  async #push (upload: B2PartsUpload, last: boolean): Promise<void> {
    const part = this.#intake.takePart()
    this.#window.add(part)
    const taken = upload.push(part.bytes, last)
    await (last ? taken : this.#intake.unlessFailed(taken))
  }

  get #isOutgrown (): boolean { return this.#intake.received > this.#stores.windowBytes }

  #shrink (): void {
    if (this.#isOutgrown && this.#audio !== undefined) this.#window.releaseStored()
  }

  /** B2 failed: local storage gets all that is held and all that is still to come, if nothing is gone yet. */
  async #fallBack (result: B2UploadFailure, b2: B2Store, permit: Permit, track: Track | undefined): Promise<Receipt> {
    const { aborted } = this.#signal
    const failure = aborted ? { ...result, ...ABORTED } : result
    if (!aborted && !isOnlySlow(failure)) permit.failed(failure, !this.#window.isWhole)
    this.#logFailure(failure)
    const reason = { error_code: failure.error_code, detail: failure.detail }
    try {
      if (!this.#window.isWhole) {
        this.#signal.throwIfAborted()
        throw new UploadError('fallback_impossible', `${failure.detail}; the file had outgrown the replay window of ${this.#stores.windowBytes} bytes.`)
      }
      const receipt = await this.#toLocal(reason, track)
      // Who knows of the file may delete it: a receipt that came to B2 after that would stay there.
      await this.#companion
      return receipt
    } catch (error) {
      // Nobody will ever know of an object that B2 may have stored without telling, nor of a receipt without its file.
      if (failure.mayBeStored || this.#companion !== undefined) this.#forget(b2)
      throw error
    }
  }

  /** Once no receipt is under way any more: it would arrive after its removal. Neither of them rejects. */
  #forget (b2: B2Store): void {
    Promise.resolve(this.#companion).then(() => b2.forget(this.#file.key, this.#context.correlationId), () => {})
  }

  async #toLocal (reason: Reason, track?: Track): Promise<Receipt> {
    const { local } = this.#stores
    const { key, expectedBytes } = this.#file
    let writer: LocalFileWriter | undefined
    try {
      writer = await local.create(key, { log: this.#context.log, expectedBytes })
      for (const bytes of this.#window.bytes) await writer.write(bytes)
      this.#window.markAllStored()
      if (track === undefined) {
        await this.#writeRest(writer)
        track = await this.#finish()
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
      // What is written is only kept for its tags, and no longer than the window. It goes before more comes: what was held for
      // B2 may be all the memory that this upload can have.
      if (this.#isOutgrown || !mayHaveTags(this.#contentType)) {
        await this.#readTags()
        this.#window.releaseStored()
      }
      // A buffer that was begun for B2 is filled first: its memory is taken already.
      if (!this.#atEnd) await this.#gather(Math.max(LOCAL_WRITE_BYTES, this.#intake.capacity))
      if (this.#intake.gathered.byteLength > 0) {
        const part = this.#intake.takePart()
        const number = this.#window.add(part)
        await writer.write(part.bytes)
        this.#window.markStored(number, true)
      }
      if (this.#atEnd) return
    }
  }

  /** The whole request has come: all that is to be known of the file. */
  async #finish (): Promise<Track> {
    const metadata = await this.#intake.finish()
    await this.#readTags()
    return {
      id: this.#file.id,
      key: this.#file.key,
      filename: this.#file.filename,
      content_type: this.#contentType,
      size_bytes: this.#intake.received,
      sha256: this.#intake.digest(),
      uploaded_at: new Date().toISOString(),
      metadata,
      audio: this.#audio ?? null,
    }
  }

  /** Once, while all that came is in memory. */
  async #readTags (): Promise<void> {
    if (this.#audio !== undefined) return
    const size = this.#atEnd ? this.#intake.received : this.#file.expectedBytes
    this.#audio = await readAudioTags([...this.#window.bytes, this.#intake.gathered], {
      contentType: this.#contentType,
      filename: this.#file.filename,
      size,
    })
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
