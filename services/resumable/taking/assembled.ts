import { Intake } from '../../intake/intake.ts'
import type { Source } from '../../intake/source.ts'
import type { UploadContext } from '../../log.ts'
import type { Receipt } from '../../receipt.ts'
import type { ResumableStores } from './append.ts'
import { readBack } from './complete.ts'
import type { ResumableUpload } from '../upload.ts'

/**
 * The end of an upload of which B2 has the object already, as a process was killed before it could store the receipt. What the client sends once
 * more is read and let go; the receipt says what is in B2.
 */
export class AssembledFile {
  readonly #stores: ResumableStores
  readonly #upload: ResumableUpload
  readonly #source: Source
  readonly #context: UploadContext
  readonly #signal: AbortSignal
  readonly #intake: Intake

  constructor (stores: ResumableStores, upload: ResumableUpload, source: Source, context: UploadContext, signal: AbortSignal) {
    this.#stores = stores
    this.#upload = upload
    this.#source = source
    this.#context = context
    this.#signal = signal
    this.#intake = new Intake(source, { ...stores.intake, maxBytes: upload.info.length! - upload.offset })
  }

  get received (): number { return this.#intake.received }

  get silentMs (): number | undefined { return this.#intake.isAtEnd ? undefined : this.#intake.silentMs }

  readonly fail = (error: unknown): void => this.#intake.fail(error)

  /** Undefined if not all has come that was asked for. */
  async run (): Promise<Receipt | undefined> {
    const { b2, local, remote, disk } = this.#stores
    const { info: { id, key, filename, fields, length, content_type: type, declared_type: declared }, name, offset } = this.#upload
    const contentType = type ?? declared ?? 'application/octet-stream'
    try {
      await this.#intake.open()
      do {
        await this.#intake.gather(this.#stores.intake.partBytes)
        this.#intake.release(this.#intake.takePart())
      } while (!this.#intake.isAtEnd)
    } finally {
      this.#intake.close()
    }
    if (offset + this.#intake.received < length!) return undefined
    const receipt = await readBack({ b2: b2!, local, upload: this.#upload, context: this.#context, signal: this.#signal, verify: this.#source.verify }, {
      id, key, filename, content_type: contentType, size_bytes: length!, sha256: undefined, uploaded_at: new Date().toISOString(), metadata: { ...fields }, audio: null,
    }, type)
    b2!.removeBelow(remote!.folder(name), this.#context.correlationId)
    if (this.#upload.isSaved) await disk.remove(name)
    return receipt
  }
}
