import { needsCompanion, objectMetadata } from '../../b2/object-receipt.ts'
import type { B2UploadFailure } from '../../b2/store.ts'
import type { Permit } from '../../circuit-breaker.ts'
import type { StoredInB2, Track } from '../../receipt.ts'
import { Companion } from './companion.ts'
import type { CompanionOptions } from './companion.ts'
import type { OnHeld, Piece, Sink } from './sink.ts'

export interface B2SinkOptions extends CompanionOptions {
  readonly permit: Permit
  readonly onHeld: OnHeld
}

/** An object in B2 that one request stores: its file is complete in memory before B2 hears of it. */
export class B2Object implements Sink {
  readonly mayFail = true
  readonly #options: B2SinkOptions
  readonly #companion: Companion
  #mayBeStored = false

  constructor (options: B2SinkOptions) {
    this.#options = options
    this.#companion = new Companion(options)
  }

  pieceBytes (): number { return this.#options.b2.partBytes }

  async take (): Promise<void> {
    throw new Error('A file that goes to B2 in one request has one piece.')
  }

  async finish (track: Track, { number, bytes }: Piece): Promise<StoredInB2 | B2UploadFailure> {
    const { b2, permit, context, signal, onHeld, attempt } = this.#options
    const metadata = objectMetadata(track, attempt)
    const untaken = needsCompanion(metadata) ? await this.#companion.sendFirst(track) : undefined
    if (untaken !== undefined) return untaken
    const result = await b2.put({ key: track.key, contentType: track.content_type, metadata, context }, bytes, track.sha256, { signal })
    if (!result.ok) {
      this.#mayBeStored = result.mayBeStored
      return result
    }
    permit.succeed()
    const open = await this.#companion.win(result.versionId)
    if (open !== undefined) {
      this.#mayBeStored = true
      return open
    }
    onHeld(number, result.firstTry)
    return await this.#companion.ensure(track)
  }

  async settled (): Promise<void> { await this.#companion.settled() }

  async discard (): Promise<void> { this.#companion.forget(this.#mayBeStored) }
}
