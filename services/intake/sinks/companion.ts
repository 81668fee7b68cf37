import type { B2Result, B2Store, B2UploadFailure } from '../../b2/store.ts'
import { LocalStoreError } from '../../local/errors.ts'
import type { LocalStore } from '../../local/store.ts'
import type { UploadContext } from '../../log.ts'
import type { StoredInB2, Track } from '../../receipt.ts'
import { KeyTaken } from '../../idempotency/key-taken.ts'
import { bothFailed } from './both-failed.ts'
import { win } from './win.ts'

export interface CompanionOptions {
  readonly b2: B2Store
  readonly local: LocalStore
  readonly key: string
  /** Tells the file from others that may be stored in B2 under the same key. Then its receipt has to be there before it is. */
  readonly attempt?: string | undefined
  readonly context: UploadContext
  /** Ends its request. */
  readonly signal: AbortSignal
}

/** The receipt of a file on its way to B2 as an object of its own, if it doesn't fit into the file's metadata. */
export class Companion {
  readonly #options: CompanionOptions
  #sent: Promise<B2Result> | undefined

  constructor (options: CompanionOptions) {
    this.#options = options
  }

  send (track: Track): void {
    const { b2, context, signal, attempt } = this.#options
    this.#sent = b2.putReceipt(track, { context, signal, attempt })
  }

  /** Sends it before the file, if that is necessary. @returns why B2 did not take it */
  async sendFirst (track: Track): Promise<B2UploadFailure | undefined> {
    this.send(track)
    if (this.#options.attempt === undefined) return undefined
    const result = await this.#sent!
    return result.ok ? undefined : result
  }

  /**
   * The file is in B2: makes sure that it is the only one of its key.
   * @returns why that can't be told
   * @throws {KeyTaken} if it is not: then nothing of it is left
   */
  async win (versionId: string | undefined): Promise<B2UploadFailure | undefined> {
    const { b2, key, attempt, signal } = this.#options
    if (attempt === undefined) return undefined
    try {
      return await win(b2, { key, attempt, versionId }, signal)
    } catch (error) {
      if (error instanceof KeyTaken) this.#sent = undefined
      throw error
    }
  }

  /** The file is in B2. Its receipt must be, too, or in local storage until a promotion takes it there. */
  async ensure (track: Track): Promise<StoredInB2> {
    const { b2, local, context, attempt } = this.#options
    const receipt: StoredInB2 = { storage: 'b2', location: track.key, track }
    const result = await this.#sent
    if (result === undefined || result.ok) return receipt
    try {
      await local.keepReceipt(track.key, receipt, context)
      return receipt
    } catch (error) {
      await b2.forget(track.key, context.correlationId, attempt)
      this.#sent = undefined
      throw error instanceof LocalStoreError ? bothFailed(result, error) : error
    }
  }

  async settled (): Promise<void> {
    await this.#sent
  }

  /**
   * Nobody will know of the file: removes what B2 may have stored of it, or of its receipt. It waits for the request, which would arrive
   * after the removal.
   */
  forget (mayBeStored: boolean): void {
    const { b2, key, context, attempt } = this.#options
    if (!mayBeStored && this.#sent === undefined) return
    Promise.resolve(this.#sent).then(() => b2.forget(key, context.correlationId, attempt), () => {}) // neither of them rejects
  }
}
