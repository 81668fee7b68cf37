import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { DataStore, Upload } from '@tus/server'
import type { UploadRequest } from '../../services/intake/receiver.ts'
import type { NewResumable, Resumables, ResumableStatus } from '../../services/resumable/resumables.ts'
import { tooLarge, tooMuch } from './piece.ts'
import type { Piece } from './piece.ts'
import { EXTENSIONS } from './protocol.ts'

/** The request that a store works for. */
export interface StoreRequest {
  readonly piece: Piece
  /** Where the piece begins. */
  readonly offset: number | undefined
  readonly caller: string | undefined
  /** Of a new upload, if its client may create it several times. */
  readonly idempotencyKey: string | undefined
  /** Hex; what a new upload's file must have, if its client says it. */
  readonly sha256: string | undefined
  /** For the log, and for the host. */
  readonly context: UploadRequest
}

/**
 * What the tus server takes for its store: resumable uploads, for one request. That request's body is read here, as it is; the server
 * gets none, so that no other stream lies between and a broken connection is not taken for the end of a file.
 */
export class RequestStore extends DataStore {
  override extensions = EXTENSIONS
  /** Where the upload stands, once that is known. */
  status: ResumableStatus | undefined
  /** Whether the service has begun to take a new upload, or has refused to. */
  hasBegun = false
  /** Whether the upload had been created before, with the same Idempotency-Key. */
  isReplay = false
  readonly #resumables: Resumables
  readonly #request: StoreRequest
  /** Said of a new upload by this request. */
  #described: Omit<NewResumable, 'length' | 'caller'> | undefined
  #length: number | undefined

  constructor (resumables: Resumables, request: StoreRequest) {
    super()
    this.#resumables = resumables
    this.#request = request
  }

  /** Names a new upload. */
  name (described: Omit<NewResumable, 'length' | 'caller'>): string {
    this.#described = described
    const { caller, idempotencyKey } = this.#request
    return this.#resumables.newName(described.filename, caller === undefined || idempotencyKey === undefined ? undefined : { caller, idempotencyKey })
  }

  override getExpiration (): number {
    return this.#resumables.maxAgeMs
  }

  override async create (upload: Upload): Promise<Upload> {
    this.#length = upload.size
    assertFits(this.#request.piece, upload.size, this.#resumables.maxBytes)
    if (this.#request.idempotencyKey !== undefined) {
      this.status = await this.#resumables.existing(upload.id, this.#new)
      this.isReplay = this.status !== undefined
    }
    if (this.isReplay) return upload
    this.hasBegun = true
    if (this.#isWhole && this.#request.piece.isDeclared) return upload // it comes by `write`
    if (this.#isWhole) await this.#receive(upload.id)
    else this.status = await this.#resumables.create(upload.id, this.#new, this.#request.context)
    return upload
  }

  override async write (empty: Readable, name: string, offset: number): Promise<number> {
    empty.resume()
    if (!empty.readableEnded) await once(empty, 'end')
    if (this.isReplay) return this.status!.offset // what else comes is not read: its client goes on from there
    const { piece } = this.#request
    if (this.#isNew && this.#isWhole) await this.#receive(name)
    else if (this.#isNew && piece.hasBytes) await this.#appendToNew(name)
    else if (this.status?.receipt !== undefined) await piece.assertEmpty()
    else if (!this.#isNew) await this.#append(name, offset)
    return this.status!.offset
  }

  /** A new upload's is that which this request knows: it is asked for without a lock. */
  override async getUpload (name: string): Promise<Upload> {
    if (!this.#isNew) this.status = await this.#resumables.status(name, this.#request.caller, this.#request.offset)
    return uploadOf(this.status!, this.#resumables.maxAgeMs)
  }

  override async declareUploadLength (_name: string, length: number): Promise<void> {
    this.#length = length
  }

  override async remove (name: string): Promise<void> {
    await this.#resumables.remove(name, this.#request.caller, this.#request.context)
  }

  get #isNew (): boolean {
    return this.#described !== undefined
  }

  get #new (): NewResumable {
    return { ...this.#described!, length: this.#length, caller: this.#request.caller, sha256: this.#request.sha256 }
  }

  /** Whether the request that creates the upload brings all of it. */
  get #isWhole (): boolean {
    return this.#length === 0 || (this.#request.piece.isDeclared && this.#request.piece.length === this.#length)
  }

  async #receive (name: string): Promise<void> {
    const { piece, context } = this.#request
    const { filename, contentType, fields } = this.#described!
    const source = { ...piece.source({ filename, contentType, fields }), expectedBytes: this.#length }
    this.status = await this.#resumables.receive(name, this.#new, source, context)
  }

  async #append (name: string, offset: number): Promise<void> {
    const { piece, caller, context } = this.#request
    const length = this.#isNew ? undefined : this.#length
    this.status = await this.#resumables.append(name, caller, { offset, source: piece.source(), length }, context)
  }

  /** If this fails its client is never told the upload's name, and nobody can go on with it. */
  async #appendToNew (name: string): Promise<void> {
    try {
      await this.#append(name, 0)
    } catch (error) {
      await this.remove(name).catch(() => {}) // it expires
      throw error
    }
  }
}

/** The tus server would find out when the upload has been created. */
function assertFits ({ length = 0 }: Piece, size: number | undefined, maxBytes: number): void {
  if (size !== undefined && length > size) throw tooMuch()
  if (length > maxBytes) throw tooLarge(maxBytes)
}

/** As the tus server has it. It counts expiry from the creation. */
function uploadOf ({ name, offset, length, metadata, expiresAt }: ResumableStatus, maxAgeMs: number): Upload {
  return new Upload({
    id: name,
    offset,
    ...(length === undefined ? {} : { size: length }),
    ...(Object.keys(metadata).length === 0 ? {} : { metadata: { ...metadata } }),
    ...(expiresAt === undefined ? {} : { creation_date: new Date(expiresAt - maxAgeMs).toISOString() }),
  })
}
