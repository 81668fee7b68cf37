import type { B2Result, B2Store } from '../../b2/store.ts'
import { LocalStoreError } from '../../local/errors.ts'
import type { LocalStore } from '../../local/store.ts'
import type { UploadContext } from '../../log.ts'
import type { StoredInB2, Track } from '../../receipt.ts'
import { bothFailed } from './both-failed.ts'

export interface CompanionOptions {
  readonly b2: B2Store
  readonly local: LocalStore
  readonly key: string
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
    const { b2, context, signal } = this.#options
    this.#sent = b2.putReceipt(track, { context, signal })
  }

  /** The file is in B2. Its receipt must be, too, or in local storage until a promotion takes it there. */
  async ensure (track: Track): Promise<StoredInB2> {
    const { b2, local, context } = this.#options
    const receipt: StoredInB2 = { storage: 'b2', location: track.key, track }
    const result = await this.#sent
    if (result === undefined || result.ok) return receipt
    try {
      await local.keepReceipt(track.key, receipt, context)
      return receipt
    } catch (error) {
      await b2.forget(track.key, context.correlationId)
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
    const { b2, key, context } = this.#options
    if (!mayBeStored && this.#sent === undefined) return
    Promise.resolve(this.#sent).then(() => b2.forget(key, context.correlationId), () => {}) // neither of them rejects
  }
}
