import { createHash } from 'node:crypto'
import type { Hash } from 'node:crypto'
import type { B2Unfinished } from '../../b2/store.ts'
import { isManifest } from '../../local/manifest.ts'
import type { SplitManifest } from '../../local/manifest.ts'
import type { JoinOutcome } from '../../promotion/promoter.ts'
import type { FallbackReason, Receipt, StoredSplit, Track } from '../../receipt.ts'
import { UploadError } from '../../upload-errors.ts'
import { KeyTaken } from '../../idempotency/key-taken.ts'
import type { B2Parts } from './b2-parts.ts'
import { LocalSink } from './local-file.ts'
import type { LocalSinkOptions } from './local-file.ts'
import type { Piece } from './sink.ts'

export interface LocalRestOptions extends LocalSinkOptions {
  readonly reason: FallbackReason
  readonly unfinished: B2Unfinished
  readonly partBytes: number
  /** Pieces that came before this sink: each was a part for B2. */
  readonly partsBefore: number
  /** Tries to join the file in B2 at once. */
  join (): Promise<JoinOutcome>
}

/** What B2 lacks of a file whose first parts it keeps: a file in local storage with the other parts, until they are joined in B2. */
export class LocalRest extends LocalSink {
  readonly #own: LocalRestOptions
  readonly #parts: SplitManifest['local_parts'] = []
  #current: { readonly hash: Hash, bytes: number } | undefined
  #next: number

  constructor (own: LocalRestOptions, before: B2Parts) {
    super(own, 'rest', before)
    this.#own = own
    this.#next = own.partsBefore + 1
  }

  override async take (piece: Piece): Promise<void> {
    const { number, bytes } = piece
    // Before it is held: from then on another upload may fill its buffer.
    if (number <= this.#own.partsBefore) this.#addPart(number, bytes.byteLength, createHash('sha256').update(bytes))
    else this.#addTail(bytes)
    await super.take(piece)
  }

  async finish (track: Track, last: Piece): Promise<Receipt> {
    await this.take(last)
    this.#endPart()
    const { reason, unfinished: { uploadId, parts }, partBytes, local, key } = this.#own
    const localBytes = this.#parts.reduce((sum, { bytes }) => sum + bytes, 0)
    const receipt: StoredSplit = {
      storage: 'split',
      location: key,
      fallback_from_b2: true,
      fallback_reason: reason,
      split: { b2_bytes: track.size_bytes - localBytes, local_bytes: localBytes },
      track,
    }
    const manifest: SplitManifest = { upload_id: uploadId, part_bytes: partBytes, b2_parts: [...parts], local_parts: this.#parts }
    if (!isManifest(manifest, track.size_bytes)) throw new Error('The parts of a split file are not those of the file.')
    await this.commit({ ...receipt, manifest })
    const outcome = await this.#own.join()
    if (outcome.kind === 'joined') return { storage: 'b2', location: key, track }
    if (outcome.kind !== 'lost') return receipt
    await local.remove(key)
    if (outcome.isTaken) throw new KeyTaken()
    throw new UploadError('fallback_impossible', `${reason.detail}; then: ${outcome.detail}.`)
  }

  /** Bytes that come after those that B2 was given: they are cut as B2 would have got them. */
  #addTail (bytes: Uint8Array): void {
    for (let rest = bytes; rest.byteLength > 0;) {
      const current = this.#current ??= { hash: createHash('sha256'), bytes: 0 }
      const own = rest.subarray(0, this.#own.partBytes - current.bytes)
      current.hash.update(own)
      current.bytes += own.byteLength
      rest = rest.subarray(own.byteLength)
      if (current.bytes === this.#own.partBytes) this.#endPart()
    }
  }

  #endPart (): void {
    if (this.#current === undefined) return
    this.#addPart(this.#next++, this.#current.bytes, this.#current.hash)
    this.#current = undefined
  }

  #addPart (number: number, bytes: number, hash: Hash): void {
    if (bytes > 0) this.#parts.push({ number, bytes, sha256: hash.digest('hex') })
  }
}
