import { createHash } from 'node:crypto'
import type { Hash } from 'node:crypto'
import { Readable } from 'node:stream'
import { mayHaveTags } from '../../audio/tags.ts'
import { b2Hints, endsParts, isOnlySlow } from '../../b2/error-codes.ts'
import type { ContinuedUpload } from '../../b2/continued-upload.ts'
import { objectMetadata } from '../../b2/object-receipt.ts'
import { B2ReadError } from '../../b2/read-requests.ts'
import type { B2Store, B2UploadFailure } from '../../b2/store.ts'
import type { CircuitBreaker, Permit } from '../../circuit-breaker.ts'
import { bothFailed } from '../../intake/sinks/both-failed.ts'
import { Intake } from '../../intake/intake.ts'
import type { IntakeOptions } from '../../intake/intake.ts'
import { ReplayWindow } from '../../intake/replay-window.ts'
import { ReplayError, SourceError } from '../../intake/source.ts'
import type { Source } from '../../intake/source.ts'
import { SNIFF_BYTES, TrackBuilder } from '../../intake/track-builder.ts'
import { LocalStoreError } from '../../local/errors.ts'
import type { LocalStore } from '../../local/store.ts'
import type { UploadContext } from '../../log.ts'
import type { Promoter } from '../../promotion/promoter.ts'
import type { FallbackReason, Receipt, Track } from '../../receipt.ts'
import { UploadError } from '../../upload-errors.ts'
import { completeInB2 } from './complete.ts'
import type { Disk, SegmentWriter } from '../stores/disk.ts'
import { finishLocally } from './finish-locally.ts'
import type { Remote } from '../stores/remote.ts'
import type { ResumableUpload } from '../upload.ts'

/** What unfinished uploads are stored with. */
export interface ResumableStores {
  /** Undefined in local-only mode. */
  readonly b2: B2Store | undefined
  readonly local: LocalStore
  readonly disk: Disk
  /** Undefined in local-only mode. */
  readonly remote: Remote | undefined
  readonly breaker: CircuitBreaker
  readonly windowBytes: number
  /** What becomes of a file that B2 fails after its beginning was given up. */
  readonly beyondWindow: 'split' | 'refuse'
  readonly allowedTypes: readonly string[]
  readonly join: Promoter['join']
  readonly intake: IntakeOptions
}

const LOCAL_PIECE_BYTES = 1_048_576 // 1 MiB

/** What is being read, and where in the file it begins. */
interface Reading {
  readonly intake: Intake
  readonly window: ReplayWindow
  readonly builder: TrackBuilder
  /** Position in the file of the first byte that the intake gives. */
  readonly start: number
  /** Whether its hash is that of the file: it has seen all of it. */
  readonly knowsHash: boolean
}

/**
 * Takes one request's bytes into an unfinished upload. What B2 has behind its whole parts, and what only local storage has, is read once more before
 * them, so that all parts have the same size and go to B2 in their order. If B2 fails, what it has not acknowledged goes to local storage.
 */
export class ResumableAppend {
  readonly keepMs = 2_000
  readonly #stores: ResumableStores
  readonly #upload: ResumableUpload
  readonly #source: Source
  readonly #context: UploadContext
  readonly #signal: AbortSignal
  readonly #before: number
  /** Hashes of the file up to the ends of its parts, by their numbers, until B2 has them. */
  readonly #hashes = new Map<number, Hash>()
  readonly #inFlight = new Set<Promise<void>>()
  readonly #acknowledged = new Map<number, { readonly etag: string, readonly firstTry: boolean }>()
  readonly #failed = new AbortController()
  #failure: B2UploadFailure | undefined
  #continued: ContinuedUpload | undefined
  #permit: Permit | undefined
  #reading: Reading | undefined
  #isOpened = false
  #keepsWindow = false
  #ended: unknown

  /** @param signal fires when B2 is not waited for any longer */
  constructor (stores: ResumableStores, upload: ResumableUpload, source: Source, context: UploadContext, signal: AbortSignal) {
    this.#stores = stores
    this.#upload = upload
    this.#source = source
    this.#context = context
    this.#signal = signal
    this.#before = upload.offset
  }

  /** Bytes that came from the client. */
  get received (): number {
    const { intake, start } = this.#reading ?? {}
    return Math.max(0, (start ?? 0) + (intake?.received ?? 0) - this.#before)
  }

  /** Milliseconds for which its client has sent nothing although it could; undefined once nothing more is awaited from it. */
  get silentMs (): number | undefined {
    return this.#ended !== undefined || this.#reading?.intake.isAtEnd === true ? undefined : this.#reading?.intake.silentMs ?? 0
  }

  /** Ends it: nothing more is read, and what came is kept. */
  readonly fail = (error: unknown): void => {
    this.#ended ??= error
    this.#reading?.intake.fail(error)
  }

  /**
   * The receipt if that was all of the file; undefined if more is to come.
   * @throws {UploadError} if the file may not or can't be stored; whatever the source failed with, once what came is safe
   */
  async run (): Promise<Receipt | undefined> {
    const { breaker, b2 } = this.#stores
    try {
      if (b2 === undefined) return await this.#locally(undefined)
      if (!breaker.canAcquire(true)) return await this.#locally(this.#reasonOfCircuit())
      return await this.#toB2(b2)
    } catch (error) {
      throw error instanceof LocalStoreError ? bothFailed(this.#failure && reasonOf(this.#failure), error) : error
    } finally {
      this.#continued?.close()
      this.#permit?.release()
      this.#close()
    }
  }

  /** Reads from `start` on. */
  #open (start: number, hash: Hash | undefined): Reading {
    this.#close()
    const { info } = this.#upload
    const { intake: options } = this.#stores
    const stored = this.#before - start
    const left = (info.length ?? options.maxBytes) - start
    const { expectedBytes, open, ...source } = this.#source
    const intake = new Intake({
      ...source,
      ...(open === undefined || this.#isOpened ? {} : { open: open.bind(this.#source) }),
      ...(stored === 0 ? {} : { before: Readable.from(this.#stored(start), { objectMode: false }) }),
      // More than the file can have is refused when it comes.
      expectedBytes: expectedBytes === undefined ? Math.min(left, Number.MAX_SAFE_INTEGER) : stored + expectedBytes,
      isExact: expectedBytes !== undefined && source.isExact === true,
    }, { ...options, partBytes: info.part_bytes, maxBytes: left }, hash?.copy() ?? createHash('sha256'))
    this.#isOpened = true
    const window = new ReplayWindow(intake)
    const { id, key, filename, declared_type: declaredType, length } = info
    const builder = new TrackBuilder({ id, key, filename, declaredType, ...(length === null ? {} : { size: length }) }, intake, window)
    this.#keepsWindow = start === 0
    intake.onLetGo = () => { this.#letGo().catch(intake.fail) }
    const reading = this.#reading = { intake, window, builder, start, knowsHash: start === 0 || hash !== undefined }
    if (this.#ended !== undefined) intake.fail(this.#ended)
    return reading
  }

  #close (): void {
    this.#reading?.window.releaseAll()
    this.#reading?.intake.close()
  }

  /** What is safe already, from the end of the parts on. */
  async * #stored (start: number): AsyncGenerator<Buffer> {
    const { name, tail, segments } = this.#upload
    let position = start
    if (tail !== undefined && tail.start === start) {
      const stream = await this.#stores.b2!.read(tail.key, undefined, this.#signal, tail.end - tail.start)
      if (stream === undefined) throw changed()
      const hash = createHash('sha256')
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        hash.update(chunk)
        yield chunk
      }
      if (hash.digest('hex') !== tail.sha256) throw changed()
      position = tail.end
    }
    yield * this.#stores.disk.bytes(name, segments, position)
  }

  async #toB2 (b2: B2Store): Promise<Receipt | undefined> {
    const upload = this.#upload
    const reading = this.#open(upload.partsEnd, upload.parts.length === 0 ? undefined : upload.memory.partsHash)
    const { intake } = reading
    let interruption: unknown
    try {
      await intake.open()
      await this.#findType(reading)
      if (await this.#begin(b2)) await this.#sendParts(reading, b2)
    } catch (error) {
      if (error instanceof ReplayError) return await this.#afterReplayError(error)
      if (!isOfClient(error)) throw error
      interruption = error
    }
    await this.#settle()
    const isWhole = interruption === undefined && this.#isWhole(reading)
    if (this.#failure === undefined) {
      if (isWhole) {
        if (await this.#begin(b2)) {
          const receipt = await this.#complete(reading, b2)
          if (receipt !== undefined) return receipt
        }
      } else await this.#keepTail(reading, b2)
    }
    if (this.#failure !== undefined) {
      this.#assertParts(this.#failure)
      return await this.#fallBack(reading, this.#failure, interruption)
    }
    if (interruption !== undefined) throw interruption
    return undefined
  }

  /** @throws {UploadError} if what B2 has of it is gone, or will never be of use */
  #assertParts (failure: B2UploadFailure): void {
    const { parts, tail } = this.#upload
    if (failure.isUploadGone === true) throw changed()
    if ((parts.length === 0 && tail === undefined) || !endsParts(failure)) return
    this.#tell(failure)
    throw new UploadError('storage_unavailable', `B2 has the beginning of the file, and does not take more: ${failure.detail}.`, {
      error: 'The upload can\'t go on now.', hints: ['Go on with the upload after the time in Retry-After: what was sent before is kept.'],
    })
  }

  /** The first bytes show it, or all of a small file. */
  async #findType ({ intake, builder, start }: Reading): Promise<void> {
    const { info } = this.#upload
    if (start > 0) return
    await intake.gather(SNIFF_BYTES)
    const isEnough = intake.gathered.byteLength >= SNIFF_BYTES || intake.received === info.length
    if (!isEnough && intake.isAtEnd) return
    await builder.findType(this.#stores.allowedTypes)
    if (info.content_type !== builder.contentType) {
      this.#upload.info = { ...info, content_type: builder.contentType }
      this.#upload.hasRemoteInfo = false
    }
    if (!mayHaveTags(builder.contentType)) this.#keepsWindow = false
  }

  /** Begins the multipart upload, and has its id noted before any part. False if B2 failed. */
  async #begin (b2: B2Store): Promise<boolean> {
    const upload = this.#upload
    const { key, filename, declared_type: declared, content_type: contentType = declared ?? OCTETS } = upload.info
    if (this.#permit === undefined) {
      this.#permit = this.#stores.breaker.tryAcquire(true, this.#context.log)
      if (this.#permit === undefined) return this.#fail(this.#circuitFailure())
    }
    if (upload.info.upload_id === undefined) {
      const begun = await b2.create({ key, contentType, metadata: objectMetadata({ filename }), context: this.#context }, this.#signal)
      if (!begun.ok) return this.#fail(begun)
      upload.info = { ...upload.info, upload_id: begun.uploadId }
      upload.hasRemoteInfo = false
    }
    if (!upload.hasRemoteInfo && !await this.#putInfo()) return false
    this.#continued ??= b2.continue({ key, contentType, context: this.#context }, {
      uploadId: upload.info.upload_id!, size: upload.info.length ?? 0, signal: this.#signal, isPatient: false, signParts: false,
    })
    return true
  }

  async #putInfo (): Promise<boolean> {
    const upload = this.#upload
    const stored = await this.#stores.remote!.putInfo(upload.name, upload.info, this.#context, this.#signal)
    if (!stored.ok) return this.#fail(stored)
    this.#permit!.acknowledge()
    upload.hasRemoteInfo = true
    return true
  }

  #fail (failure: B2UploadFailure): false {
    this.#failure ??= failure
    this.#failed.abort()
    return false
  }

  /** Sends whole parts, as many as come, a few at once. */
  async #sendParts (reading: Reading, b2: B2Store): Promise<void> {
    const { intake } = reading
    const { part_bytes: partBytes } = this.#upload.info
    for (;;) {
      if (intake.received > this.#stores.windowBytes) await this.#giveUpWindow(reading, intake.gathered)
      else if (!this.#keepsWindow) reading.window.releaseStored()
      await intake.gather(partBytes, this.#failed.signal)
      if (this.#failed.signal.aborted) return
      if (intake.gathered.byteLength === partBytes && !this.#isWhole(reading)) await this.#send(reading, b2.concurrency)
      if (intake.isAtEnd) return
    }
  }

  async #send ({ intake, window, start, knowsHash }: Reading, concurrency: number): Promise<void> {
    const { part_bytes: partBytes } = this.#upload.info
    const piece = window.add(intake.takePart())
    const number = start / partBytes + piece.number
    if (knowsHash) this.#hashes.set(number, intake.copyHash())
    while (this.#inFlight.size >= concurrency) await Promise.race(this.#inFlight)
    if (this.#failed.signal.aborted) return
    const sending = this.#continued!.put(number, piece.bytes).then(stored => {
      this.#inFlight.delete(sending)
      if (!stored.ok) {
        this.#fail(stored)
        return
      }
      this.#permit!.acknowledge()
      this.#acknowledged.set(number, stored)
      this.#advance(this.#reading!)
    })
    this.#inFlight.add(sending)
  }

  /** Parts count, and their memory goes, in the order of the file, so that what B2 has never has a gap. */
  #advance ({ window, start }: Reading): void {
    const upload = this.#upload
    for (;;) {
      const number = upload.parts.length + 1
      const stored = this.#acknowledged.get(number)
      if (stored === undefined) break
      this.#acknowledged.delete(number)
      upload.parts.push({ number, etag: stored.etag })
      upload.memory = { ...upload.memory, partsHash: this.#hashes.get(number) }
      this.#hashes.delete(number)
      window.markStored(number - start / upload.info.part_bytes, stored.firstTry)
    }
    upload.touchedAt = Date.now()
    if (!this.#keepsWindow) window.releaseStored()
  }

  async #settle (): Promise<void> {
    await Promise.all(this.#inFlight)
  }

  /** Tags are read from byte 0 on, so before that goes. */
  async #giveUpWindow ({ builder, window }: Reading, gathered: Uint8Array): Promise<void> {
    if (!this.#keepsWindow) return window.releaseStored()
    await builder.readTags(gathered)
    this.#upload.memory = { ...this.#upload.memory, audio: builder.audio }
    this.#keepsWindow = false
    if (!this.#failed.signal.aborted) window.releaseStored()
  }

  async #letGo (): Promise<void> {
    const reading = this.#reading!
    if (this.#upload.info.content_type !== undefined) await this.#giveUpWindow(reading, new Uint8Array(0))
  }

  #isWhole ({ intake, start }: Reading): boolean {
    return intake.isAtEnd && start + intake.received === this.#upload.info.length
  }

  /** Stores what is behind the whole parts. */
  async #keepTail (reading: Reading, b2: B2Store): Promise<void> {
    const { intake, start } = reading
    const upload = this.#upload
    const end = upload.partsEnd + intake.gathered.byteLength
    await this.#learnTags(reading)
    if (intake.isReplaying || end < this.#before) return // nothing new came
    const { gathered } = intake
    const hadTail = upload.tail
    if (end > upload.offset || upload.segments.length > 0) {
      if (!await this.#begin(b2)) return
      if (gathered.byteLength > 0) {
        const stored = await this.#stores.remote!.putTail(upload.name, upload.partsEnd, gathered, this.#context, this.#signal)
        if (!stored.ok) {
          this.#fail(stored)
          return
        }
        this.#permit!.acknowledge()
        upload.tail = stored.tail
      }
    }
    if (!upload.hasRemoteInfo && !await this.#begin(b2)) return
    if (upload.partsEnd >= (upload.tail?.end ?? 0)) upload.tail = undefined
    upload.segments = []
    upload.touchedAt = Date.now()
    upload.memory = { ...upload.memory, hash: start === 0 || reading.knowsHash ? intake.copyHash() : undefined }
    if (upload.isSaved) await this.#stores.disk.remove(upload.name)
    upload.isSaved = false
    if (hadTail !== undefined && hadTail.key !== upload.tail?.key) b2.removeBelow(hadTail.key)
    this.#permit?.succeed()
  }

  /** While the beginning is in memory. */
  async #learnTags ({ start, builder, intake }: Reading): Promise<void> {
    if (start > 0 || this.#upload.info.content_type === undefined) return
    await builder.readTags(intake.gathered)
    this.#upload.memory = { ...this.#upload.memory, audio: builder.audio }
  }

  /** What is known of the file, all of which has come. @param sha256 undefined if it has to be found out */
  async #track (reading: Reading, sha256: string): Promise<Track> {
    await this.#learnTags(reading)
    const { info: { id, key, filename, fields, length, content_type: type, declared_type: declared }, memory } = this.#upload
    return {
      id,
      key,
      filename,
      content_type: type ?? declared ?? OCTETS,
      size_bytes: length!,
      sha256,
      uploaded_at: new Date().toISOString(),
      metadata: { ...fields },
      audio: memory.audio ?? null,
    }
  }

  /** Sends the last part, and makes the file. Undefined if B2 failed. */
  async #complete (reading: Reading, b2: B2Store): Promise<Receipt | undefined> {
    const upload = this.#upload
    const { intake, window, start, knowsHash } = reading
    const sha256 = knowsHash ? intake.copyHash().digest('hex') : undefined
    if (sha256 !== undefined) this.#source.verify?.(sha256)
    const track = await this.#track(reading, sha256 ?? '')
    this.#continued!.allCame()
    const piece = window.add(intake.takePart())
    if (piece.bytes.byteLength > 0) {
      const last = await this.#continued!.put(start / upload.info.part_bytes + piece.number, piece.bytes)
      if (!last.ok) {
        this.#fail(last)
        return undefined
      }
      this.#permit!.acknowledge()
      upload.parts.push({ number: last.number, etag: last.etag })
      window.markStored(piece.number, last.firstTry)
    }
    const completed = await completeInB2({ b2, local: this.#stores.local, upload, continued: this.#continued!, context: this.#context, signal: this.#signal, verify: this.#source.verify },
      { ...track, sha256 }, upload.parts)
    if (!('ok' in completed)) {
      this.#permit!.succeed()
      await this.#clear(completed)
      return completed
    }
    this.#fail(completed)
    return undefined
  }

  /** Nothing of the unfinished upload is needed any more, but for the tail of a file that is split: it goes when that is joined. */
  async #clear ({ storage }: Receipt): Promise<void> {
    const { b2, remote, disk } = this.#stores
    const { name, tail, partsEnd } = this.#upload
    const isTailNeeded = storage === 'split' && tail?.start === partsEnd
    if (b2 !== undefined && remote !== undefined) b2.removeBelow(isTailNeeded ? remote.infoKey(name) : remote.folder(name), this.#context.correlationId)
    await disk.remove(name).catch((err: unknown) => this.#context.log.warn({ err }, 'what local storage had of an upload could not be removed'))
  }

  async #afterReplayError (error: ReplayError): Promise<Receipt | undefined> {
    await this.#settle()
    const { cause } = error
    if (!(cause instanceof B2ReadError)) throw cause
    const { error_code, detail, raw, weight, retryable } = cause
    return await this.#locally(this.#tell({ ok: false, error_code, detail, raw, weight, retryable, attempts: 1, mayBeStored: false }))
  }

  #tell (failure: B2UploadFailure): FallbackReason {
    if (!this.#signal.aborted && !isOnlySlow(failure)) this.#permit?.fail(failure)
    this.#log(failure)
    return reasonOf(failure)
  }

  #log ({ error_code, detail, attempts, raw }: Pick<B2UploadFailure, 'error_code' | 'detail' | 'attempts' | 'raw'>): void {
    this.#context.log.warn({ event: 'b2.failed', error_code, detail, attempts, b2_says: raw, hints: b2Hints(error_code) }, 'B2 did not take the file')
  }

  #circuitFailure (): B2UploadFailure {
    const { error_code, detail } = this.#stores.breaker.failure!
    return { ok: false, error_code, detail, raw: 'The circuit is open.', weight: 'none', retryable: true, attempts: 0, mayBeStored: false }
  }

  #reasonOfCircuit (): FallbackReason {
    return this.#tell(this.#circuitFailure())
  }

  /** B2 has failed in the middle: what it has not acknowledged is in memory, or still to come. */
  async #fallBack (reading: Reading, failure: B2UploadFailure, interruption: unknown): Promise<Receipt | undefined> {
    const reason = this.#tell(failure)
    const { intake, window, start } = reading
    if (intake.isReplaying) {
      if (interruption !== undefined) throw interruption
      return await this.#locally(reason)
    }
    window.changeStore(false)
    const from = this.#upload.offset
    const { part_bytes: partBytes } = this.#upload.info
    const pieces = window.unstored.map(({ number, bytes }) => ({ number, bytes, at: start + (number - 1) * partBytes }))
    return await this.#write(reading, from, pieces, reason, interruption)
  }

  /** Takes the request into local storage, behind all that is safe. */
  async #locally (reason: FallbackReason | undefined): Promise<Receipt | undefined> {
    const reading = this.#open(this.#before, this.#before === 0 ? undefined : this.#upload.memory.hash)
    let interruption: unknown
    try {
      await reading.intake.open()
      await this.#findType(reading)
    } catch (error) {
      if (!isOfClient(error)) throw error
      interruption = error
    }
    return await this.#write(reading, this.#before, [], reason, interruption)
  }

  async #write (
    reading: Reading, from: number, pieces: readonly { readonly number: number, readonly bytes: Uint8Array, readonly at: number }[], reason: FallbackReason | undefined, before: unknown
  ): Promise<Receipt | undefined> {
    const { disk } = this.#stores
    const { intake, window } = reading
    const upload = this.#upload
    const writer = await disk.create(upload.name, from)
    let interruption = before
    try {
      let end = from
      const write = async (bytes: Uint8Array, at: number): Promise<void> => {
        const own = bytes.subarray(Math.max(0, end - at))
        if (own.byteLength > 0) await writer.write(own)
        end = Math.max(end, at + bytes.byteLength)
      }
      for (const { number, bytes, at } of pieces) {
        await write(bytes, at)
        window.markStored(number, false)
      }
      let next = reading.start + window.count * upload.info.part_bytes
      for (;;) {
        if (interruption === undefined) {
          try {
            await this.#giveUpWindow(reading, intake.gathered)
            await intake.gather(Math.max(LOCAL_PIECE_BYTES, intake.capacity))
          } catch (error) {
            if (!isOfClient(error)) throw error
            interruption = error
          }
        }
        const isEnd = intake.isAtEnd || interruption !== undefined
        const piece = window.add(intake.takePart())
        await write(piece.bytes, next)
        next += piece.bytes.byteLength
        window.markStored(piece.number, true)
        if (isEnd) break
      }
      if (interruption === undefined && this.#isWhole(reading)) return await this.#finish(reading, writer, reason)
      await this.#keepSegment(reading, writer)
    } catch (error) {
      await writer.discard()
      throw error
    }
    if (interruption !== undefined) throw interruption
    return undefined
  }

  async #keepSegment ({ intake, knowsHash }: Reading, writer: SegmentWriter): Promise<void> {
    const { disk } = this.#stores
    const upload = this.#upload
    const segment = await writer.commit()
    if (segment !== undefined) {
      const isBehindParts = segment.start === upload.partsEnd
      if (isBehindParts) upload.tail = undefined
      upload.segments = isBehindParts ? [segment] : [...upload.segments, segment]
      upload.touchedAt = Date.now()
    }
    upload.memory = { ...upload.memory, hash: knowsHash ? intake.copyHash() : undefined }
    await disk.save(upload.name, upload.state)
    upload.isSaved = true
  }

  async #finish (reading: Reading, writer: SegmentWriter, reason: FallbackReason | undefined): Promise<Receipt> {
    const segment = await writer.commit()
    try {
      const { intake, knowsHash } = reading
      const track = await this.#track(reading, knowsHash ? intake.copyHash().digest('hex') : '')
      const receipt = await finishLocally({ ...this.#stores, upload: this.#upload, context: this.#context, signal: this.#signal, reason, verify: this.#source.verify }, track, segment)
      await this.#clear(receipt)
      return receipt
    } catch (error) {
      if (segment !== undefined) await this.#stores.disk.drop(this.#upload.name, [segment])
      // A client that is told of all bytes would not send any more.
      if (this.#upload.parts.length === Math.ceil(this.#upload.info.length! / this.#upload.info.part_bytes)) this.#upload.parts.pop()
      throw error
    }
  }
}

const OCTETS = 'application/octet-stream'

/** Whether what came may be kept although the request ended so. */
function isOfClient (error: unknown): boolean {
  return error instanceof SourceError || (error instanceof UploadError && error.error_code !== 'unsupported_media_type' && error.statusCode !== 409)
}

function changed (): UploadError {
  return new UploadError('invalid_request', 'Another request has changed or ended the upload meanwhile.', { statusCode: 409, hints: ['Ask for the offset with HEAD, and send what follows it.'] })
}

function reasonOf ({ error_code, detail }: Pick<B2UploadFailure, 'error_code' | 'detail'>): FallbackReason {
  return { error_code, detail }
}
