import { objectMetadata } from '../../b2/object-receipt.ts'
import type { B2PartsUpload, B2Result, B2UploadFailure } from '../../b2/store.ts'
import type { StoredInB2, Track } from '../../receipt.ts'
import type { IncomingFile } from '../track-builder.ts'
import type { B2SinkOptions } from './b2-object.ts'
import { Companion } from './companion.ts'
import type { Piece, Sink } from './sink.ts'

export interface B2PartsOptions extends B2SinkOptions {
  readonly file: IncomingFile
  readonly contentType: string
  /** Bytes of every part but the last. */
  readonly partBytes: number
  /** Whether the file can still be stored elsewhere if B2 fails. */
  mayFallBack (): boolean
  /** Whether the parts that B2 has acknowledged are needed after this failure. */
  needsParts (failure: Pick<B2UploadFailure, 'error_code'>): boolean
}

/** An object in B2 that is made of parts, sent as the file comes. */
export class B2Parts implements Sink {
  readonly mayFail = true
  readonly #options: B2PartsOptions
  readonly #companion: Companion
  readonly #upload: B2PartsUpload
  #isDiscarded = false
  #mayBeStored = false

  /** Begins the upload. */
  constructor (options: B2PartsOptions) {
    const { b2, file, contentType, context, signal, permit } = options
    this.#options = options
    this.#companion = new Companion(options)
    this.#upload = b2.begin({ key: file.key, contentType, metadata: objectMetadata(file, options.attempt), context }, {
      onPartStored (number, reuse) {
        permit.acknowledge()
        options.onHeld(number, reuse)
      },
      partBytes: options.partBytes,
      mayFallBack: options.mayFallBack,
      keepsParts: failure => !this.#isDiscarded && options.needsParts(failure),
    })
    if (signal.aborted) this.#upload.abort()
    signal.addEventListener('abort', () => this.#upload.abort())
  }

  get failed (): AbortSignal { return this.#upload.failed }

  async failure (): Promise<B2UploadFailure> {
    return await this.#upload.result as B2UploadFailure
  }

  pieceBytes (): number { return this.#options.partBytes }

  async take ({ bytes }: Piece): Promise<void> {
    await this.#upload.push(bytes)
  }

  async finish (track: Track, { bytes }: Piece): Promise<StoredInB2 | B2UploadFailure> {
    const untaken = this.failed.aborted ? undefined : await this.#companion.sendFirst(track)
    if (untaken !== undefined) return await this.#failWith(untaken)
    await this.#upload.push(bytes, true)
    const result = await this.#upload.result
    if (!result.ok) return result
    this.#options.permit.succeed()
    const open = await this.#companion.win(result.versionId)
    if (open !== undefined) {
      this.#mayBeStored = true
      return open
    }
    return await this.#companion.ensure(track)
  }

  /** B2 did not take the receipt, so it must not get the whole file. What it has of the file may still be needed. */
  async #failWith (failure: B2UploadFailure): Promise<B2UploadFailure> {
    this.#upload.abort()
    const { unfinished } = await this.#upload.result as B2UploadFailure
    return unfinished === undefined ? failure : { ...failure, unfinished }
  }

  async settled (): Promise<void> { await this.#companion.settled() }

  async discard (): Promise<void> {
    this.#isDiscarded = true
    this.#upload.abort()
    const result: B2Result = await this.#upload.result
    if (result.ok) return this.#companion.forget(this.#mayBeStored)
    if (result.unfinished !== undefined) await this.#upload.clear()
    this.#companion.forget(result.mayBeStored)
  }
}
