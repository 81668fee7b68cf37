import { attemptMetadata } from '../../b2/object-receipt.ts'
import type { UploadContext } from '../../log.ts'
import { withCorrelationId } from '../../local/receipts.ts'
import type { LocalStore } from '../../local/store.ts'
import type { LocalFileWriter } from '../../local/writing/file-writer.ts'
import type { FallbackReason, Receipt, StoredLocally, Track } from '../../receipt.ts'
import type { OnHeld, Piece, Sink } from './sink.ts'

export interface LocalSinkOptions {
  readonly local: LocalStore
  readonly key: string
  /** Tells the file from others that may be stored in B2 under the same key. */
  readonly attempt?: string | undefined
  readonly context: UploadContext
  /** Bytes that it will get at most, if that is known. */
  readonly expectedBytes: number | undefined
  readonly onHeld: OnHeld
}

const PIECE_BYTES = 1_048_576 // 1 MiB

/** A file in local storage, whole or in part. */
export abstract class LocalSink implements Sink {
  readonly mayFail = false
  protected readonly options: LocalSinkOptions
  readonly #kind: 'data' | 'rest'
  readonly #before: Sink | undefined
  #writer: LocalFileWriter | undefined

  /** @param before the sink that it replaces */
  constructor (options: LocalSinkOptions, kind: 'data' | 'rest', before: Sink | undefined) {
    this.options = options
    this.#kind = kind
    this.#before = before
  }

  /** A buffer that was begun for B2 is filled first: its memory is taken already. */
  pieceBytes (capacity: number): number { return Math.max(PIECE_BYTES, capacity) }

  async open (): Promise<void> {
    const { local, key, context: { log }, expectedBytes } = this.options
    this.#writer ??= await local.create(key, { kind: this.#kind, log, expectedBytes })
  }

  async take ({ number, bytes }: Piece): Promise<void> {
    const writer = await this.#opened()
    if (bytes.byteLength > 0) await writer.write(bytes)
    this.options.onHeld(number, true)
  }

  abstract finish (track: Track, last: Piece): Promise<Receipt>

  /** Stores the file with its receipt. Who knows of the file may delete it: what came to B2 after that would stay there, so that is awaited. */
  protected async commit (receipt: object): Promise<void> {
    const { context, attempt } = this.options
    const writer = await this.#opened()
    await writer.commit(withCorrelationId({ ...receipt, ...attemptMetadata(attempt) }, context))
    await this.#before?.settled()
  }

  async settled (): Promise<void> {}

  async discard (): Promise<void> {
    await this.#writer?.discard()
    await this.#before?.discard()
  }

  async #opened (): Promise<LocalFileWriter> {
    await this.open()
    return this.#writer!
  }
}

/** A whole file in local storage. */
export class LocalFile extends LocalSink {
  readonly #reason: FallbackReason | undefined

  /** @param reason why B2 failed; undefined if the service has no B2 */
  constructor (options: LocalSinkOptions, reason: FallbackReason | undefined, before?: Sink) {
    super(options, 'data', before)
    this.#reason = reason
  }

  async finish (track: Track, last: Piece): Promise<StoredLocally> {
    await this.take(last)
    const { local, key } = this.options
    const receipt: StoredLocally = {
      storage: 'local',
      location: local.location(key),
      ...(this.#reason === undefined ? {} : { fallback_from_b2: true as const, fallback_reason: this.#reason }),
      track,
    }
    await this.commit(receipt)
    return receipt
  }
}
