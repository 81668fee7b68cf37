import { randomUUID } from 'node:crypto'
import { B2ReadError } from '../b2/read-requests.ts'
import type { B2Store } from '../b2/store.ts'
import type { CircuitBreaker } from '../circuit-breaker.ts'
import type { LocalStore } from '../local/store.ts'
import type { Receipt } from '../receipt.ts'
import { UploadError } from '../upload-errors.ts'
import type { IncomingFile } from '../intake/track-builder.ts'

/** What makes two requests the same upload. */
export interface UploadKey {
  /** Null for the app itself. */
  readonly caller: string | null
  /** As the client gave it. */
  readonly idempotencyKey: string
  /** Bytes of the file, if the client has said exactly that. */
  readonly size?: number | undefined
}

export interface KeyedStores {
  /** Undefined in local-only mode. */
  readonly b2: Pick<B2Store, 'track' | 'hasLeftovers' | 'isContested'> | undefined
  readonly local: Pick<LocalStore, 'find'>
  readonly breaker: Pick<CircuitBreaker, 'canAcquire'>
}

/** Whether a file came with this key before. The stores are the memory, so that every process and every restart knows. */
export class KeyedUploads {
  readonly #stores: KeyedStores
  readonly #underWay = new Set<string>()

  constructor (stores: KeyedStores) {
    this.#stores = stores
  }

  /** Holds an id while its upload is under way in this process. @returns what ends that @throws {UploadError} `upload_in_progress` */
  hold (id: string): () => void {
    if (this.#underWay.has(id)) throw inProgress('Another request is storing the upload with this Idempotency-Key.')
    this.#underWay.add(id)
    return () => { this.#underWay.delete(id) }
  }

  /**
   * The receipt of the file if it is stored already, or else how it is to be stored.
   * @param size see {@link UploadKey}
   * @throws {UploadError} `idempotency_key_reused` if another file is stored; `upload_in_progress` if that is still open
   */
  async find (file: IncomingFile, size: number | undefined, signal: AbortSignal): Promise<Receipt | IncomingFile> {
    const found = await this.#look(file, signal)
    if (!('track' in found)) return found
    const { filename, size_bytes: stored } = found.track
    if (filename !== file.filename) throw reused(`It came with the file "${filename}", and now with "${file.filename}".`)
    if (size !== undefined && size !== stored) throw reused(`It came with a file of ${stored} bytes, and now with one of ${size}.`)
    return found
  }

  async #look (file: IncomingFile, signal: AbortSignal): Promise<Receipt | IncomingFile> {
    const { b2, local, breaker } = this.#stores
    const { key } = file
    // If the disk fails, B2 can still take the file. If the disk has it, too, promotion finds that out.
    const here = await local.find(key).catch(() => undefined)
    if (here !== undefined) return here.receipt
    const unknown = { ...file, attempt: randomUUID() }
    if (b2 === undefined) return unknown
    if (await b2.hasLeftovers(key)) throw inProgress('What an earlier upload with this Idempotency-Key left is not removed yet.')
    // It goes to local storage then.
    if (!breaker.canAcquire(true)) return unknown
    try {
      const track = await b2.track(key, signal)
      if (track === undefined) return unknown
      if (await b2.isContested(key, signal)) throw inProgress('Several requests have stored the upload with this Idempotency-Key, and one of them will stay.')
      return { storage: 'b2', location: key, track }
    } catch (error) {
      if (error instanceof B2ReadError) return { ...unknown, unasked: error }
      throw error
    }
  }
}

/** What an upload is answered while another one with its key is not over. */
export function inProgress (detail: string): UploadError {
  return new UploadError('upload_in_progress', detail)
}

/** What an upload is answered whose key came with another file. */
export function reused (detail: string): UploadError {
  return new UploadError('idempotency_key_reused', detail)
}

/** What an upload is answered that another one with its key got ahead of. */
export function taken (): UploadError {
  return inProgress('Another request has stored the upload with this Idempotency-Key meanwhile.')
}
