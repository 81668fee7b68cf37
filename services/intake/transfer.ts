import { isOnlySlow } from '../b2/error-codes.ts'
import { needsCompanion, objectMetadata } from '../b2/object-receipt.ts'
import type { B2PartsUpload, B2Result, B2Store, B2UploadFailure } from '../b2/store.ts'
import type { AudioTags } from '../audio/tags.ts'
import { mayHaveTags, readAudioTags } from '../audio/tags.ts'
import type { CircuitBreaker, Permit } from '../circuit-breaker.ts'
import { contentTypeOf, isAllowedType } from './content-type.ts'
import { HeldParts } from './replay-window.ts'
import type { Intake } from './intake.ts'
import { tagsEnd } from '../audio/leading-tags.ts'
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

/** One file that comes in. */
export interface IncomingFile {
  readonly id: string
  readonly key: string
  readonly filename: string
  readonly declaredType: string | undefined
  /** No more than this many bytes can come, where that is known. */
  readonly expectedBytes: number | undefined
  readonly context: UploadContext
  /** Fires when B2 is not to be waited for any longer. Its reason is an {@link UploadError}. */
  readonly cut: AbortSignal
  /** Waits for what follows the file in the request; then the whole request has come. Its text fields. */
  complete (): Promise<Record<string, string>>
  /** B2 failed, or is known to be failing; told once, before a fallback. */
  onB2Failed (failure: Pick<B2UploadFailure, 'error_code' | 'detail' | 'raw' | 'attempts'>): void
}

const SNIFF_BYTES = 65_536 // 64 KiB
const MOST_TAG_BYTES = 5_242_880 // 5 MiB: the smallest part
const LOCAL_WRITE_BYTES = 1_048_576 // 1 MiB

// What B2 made of it is not known then.
const CUT = { error_code: 'timeout', detail: 'B2 had not answered when the service had to end', raw: 'The request was ended.', mayBeStored: true } as const

type Reason = FallbackReason | undefined

/**
 * Takes one file to B2, or to local storage where B2 fails while all of the file that came is still in memory.
 *
 * The parts that B2 was given are held, whether it acknowledged them or not, until the file outgrows the replay window.
 */
export class Transfer {
  readonly #stores: TransferStores
  readonly #file: IncomingFile
  readonly #intake: Intake
  readonly #held: HeldParts
  #contentType = 'application/octet-stream'
  #audio: AudioTags | null | undefined
  #atEnd = false
  /** The receipt on its way to B2 as an object of its own, where it doesn't fit the file's. */
  #companion: Promise<B2Result> | undefined

  constructor (stores: TransferStores, file: IncomingFile, intake: Intake) {
    this.#stores = stores
    this.#file = file
    this.#intake = intake
    this.#held = new HeldParts(intake)
  }

  /**
   * @throws {UploadError} where the file may not or can't be stored; whatever the source failed with. Nothing of the
   * file is left then.
   */
  async run (): Promise<Receipt> {
    try {
      await this.#gatherHead()
      await this.#settleType()
      const { b2, breaker } = this.#stores
      if (b2 === undefined) return await this.#toLocal(undefined)
      if (!breaker.wouldPermit(this.#canProbe())) return await this.#passBy()
      await this.#gather(b2.partBytes)
      if (!this.#atEnd) return await this.#withPermit(permit => this.#putParts(b2, permit))
      // Its client may take its time for what follows the file: nobody waits for B2 until that has come.
      const track = await this.#finish()
      this.#held.add(this.#intake.takePart())
      return await this.#withPermit(permit => this.#putWhole(b2, permit, track), track)
    } finally {
      this.#held.releaseAll()
    }
  }

  /** Asks for the circuit's leave; the first request to B2 has to follow at once. */
  async #withPermit (store: (permit: Permit) => Promise<Receipt>, track?: Track): Promise<Receipt> {
    const permit = this.#stores.breaker.ask(this.#canProbe(), this.#file.context.log)
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
    this.#file.onB2Failed({ error_code, detail, raw: 'The circuit is open.', attempts: 0 })
    return await this.#toLocal({ error_code, detail }, track)
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

  async #settleType (): Promise<void> {
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
    const { context, cut } = this.#file
    if (needsCompanion(metadata)) this.#companion = b2.putReceipt(track, { context, signal: cut })
    const result = await b2.put({ key: track.key, contentType: track.content_type, metadata, context }, this.#held.bytes[0]!, track.sha256, { signal: cut })
    if (!result.ok) return await this.#fallBack(result, b2, permit, track)
    permit.succeeded()
    this.#held.stored(1, result.firstTry)
    return await this.#stored(b2, track)
  }

  async #putParts (b2: B2Store, permit: Permit): Promise<Receipt> {
    const upload = b2.begin({ key: this.#file.key, contentType: this.#contentType, metadata: objectMetadata(this.#file), context: this.#file.context }, {
      onPartStored: (number, reuse) => {
        // An answer that comes after the failure must not take a part away that local storage is about to get.
        if (upload.failed.aborted) return
        permit.acknowledged()
        this.#held.stored(number, reuse)
        this.#shrink()
      },
      mayFallBack: () => this.#held.whole,
    })
    const { cut } = this.#file
    if (cut.aborted) upload.abort()
    cut.addEventListener('abort', () => upload.abort())
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
      await this.#stores.local.keepReceipt(track.key, receipt, this.#file.context)
      return receipt
    } catch (error) {
      await b2.forget(track.key, this.#file.context.correlationId)
      throw error instanceof LocalStoreError ? bothFailed(companion, error) : error
    }
  }

  /** Gives B2 all parts; returns early, without a track, where B2 failed. */
  async #feed (upload: B2PartsUpload, b2: B2Store): Promise<Track | undefined> {
    while (!this.#atEnd && !upload.failed.aborted) {
      await this.#push(upload, false)
      if (this.#outgrown) {
        // Tags are read from byte 0 on, so before the first part goes.
        await this.#readTags()
        this.#shrink()
      }
      await this.#gather(b2.partBytes, upload.failed)
    }
    if (upload.failed.aborted) return undefined
    const track = await this.#finish()
    if (!upload.failed.aborted) this.#companion = b2.putReceipt(track, { context: this.#file.context, signal: this.#file.cut })
    await this.#push(upload, true)
    return track
  }

  async #push (upload: B2PartsUpload, last: boolean): Promise<void> {
    const part = this.#intake.takePart()
    this.#held.add(part)
    const taken = upload.push(part.bytes, last)
    await (last ? taken : this.#intake.unlessFailed(taken))
  }

  get #outgrown (): boolean { return this.#intake.received > this.#stores.windowBytes }

  #shrink (): void {
    if (this.#outgrown && this.#audio !== undefined) this.#held.releaseStored()
  }

  /** B2 failed: local storage gets all that is held and all that is still to come, if nothing is gone yet. */
  async #fallBack (result: B2UploadFailure, b2: B2Store, permit: Permit, track: Track | undefined): Promise<Receipt> {
    const { cut } = this.#file
    const failure = cut.aborted ? { ...result, ...CUT } : result
    if (!cut.aborted && !isOnlySlow(failure)) permit.failed(failure, !this.#held.whole)
    this.#file.onB2Failed(failure)
    const reason = { error_code: failure.error_code, detail: failure.detail }
    try {
      if (!this.#held.whole) {
        cut.throwIfAborted()
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
    Promise.resolve(this.#companion).then(() => b2.forget(this.#file.key, this.#file.context.correlationId), () => {})
  }

  async #toLocal (reason: Reason, track?: Track): Promise<Receipt> {
    const { local } = this.#stores
    const { key, expectedBytes, context } = this.#file
    let writer: LocalFileWriter | undefined
    try {
      writer = await local.create(key, { log: context.log, ...(expectedBytes === undefined ? {} : { expectedBytes }) })
      for (const bytes of this.#held.bytes) await writer.write(bytes)
      this.#held.allStored()
      if (track === undefined) {
        await this.#writeRest(writer)
        track = await this.#finish()
      }
      const receipt = localReceipt(local.location(key), track, reason)
      await writer.commit(withCorrelationId(receipt, context))
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
      if (this.#outgrown || !mayHaveTags(this.#contentType)) {
        await this.#readTags()
        this.#held.releaseStored()
      }
      // A buffer that was begun for B2 is filled first: its memory is taken already.
      if (!this.#atEnd) await this.#gather(Math.max(LOCAL_WRITE_BYTES, this.#intake.capacity))
      if (this.#intake.gathered.byteLength > 0) {
        const part = this.#intake.takePart()
        const number = this.#held.add(part)
        await writer.write(part.bytes)
        this.#held.stored(number, true)
      }
      if (this.#atEnd) return
    }
  }

  /** The whole request has come: all that is to be known of the file. */
  async #finish (): Promise<Track> {
    const metadata = await this.#intake.finish(() => this.#file.complete())
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
    this.#audio = await readAudioTags([...this.#held.bytes, this.#intake.gathered], {
      contentType: this.#contentType,
      filename: this.#file.filename,
      ...(size === undefined ? {} : { size }),
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
