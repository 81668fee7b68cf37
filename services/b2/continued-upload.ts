import { CompleteMultipartUploadCommand, UploadPartCommand } from '@aws-sdk/client-s3'
import type { UploadPartCommandOutput } from '@aws-sdk/client-s3'
import type { KnownHashes } from './http/client.ts'
import type { B2Part, B2Result, B2Stored, B2UploadFailure, UploadClient } from './upload-client.ts'

export interface ContinueOptions {
  readonly uploadId: string
  /** Bytes of the whole object; they count when it is completed. */
  readonly size: number
  /** Whether no client waits for it: its parts are sent only while no others wait. Default true. */
  readonly isPatient?: boolean
  /** Whether the sha256 of each part is signed over https, too. Default true. */
  readonly signParts?: boolean
  /** Aborts its requests. */
  readonly signal: AbortSignal
}

interface Tools extends ContinueOptions {
  readonly bucket: string
  readonly key: string
  /** The client's. */
  readonly hashes: KnownHashes
  explain (error: unknown): B2UploadFailure
  describe (): B2Stored
  /** Called by {@link ContinuedUpload.allCame}. */
  onAllCame (): void
  /** Called by {@link ContinuedUpload.close}. */
  onEnd (): void
}

/** A part that B2 has acknowledged. */
export interface StoredPart extends B2Part {
  readonly ok: true
  /** False if it was sent again, so that a socket may still read its bytes. */
  readonly firstTry: boolean
}

/**
 * A multipart upload that an earlier request, or another process, has begun. lib-storage can't take an existing upload, so the parts
 * are sent one by one; whoever sends them knows which ones B2 has. Whatever fails, B2 keeps the parts.
 */
export class ContinuedUpload {
  readonly #client: UploadClient
  readonly #tools: Tools
  readonly #onAbort = (): void => this.#client.abort()

  constructor (client: UploadClient, tools: Tools) {
    this.#client = client
    this.#tools = tools
    if (tools.signal.aborted) this.#onAbort()
    tools.signal.addEventListener('abort', this.#onAbort)
  }

  /** Sends a part. Never rejects. @param sha256 (hex) of it, if that is known already */
  async put (number: number, body: Uint8Array, sha256?: string): Promise<StoredPart | B2UploadFailure> {
    const { bucket: Bucket, key: Key, uploadId: UploadId, hashes } = this.#tools
    if (sha256 !== undefined) hashes.set(body, sha256) // for as long as the body lives
    return await this.#settled(async () => {
      const command = new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: number, Body: body })
      const { ETag: etag } = await this.#client.send(command) as UploadPartCommandOutput
      return { ok: true, number, etag: etag!, firstTry: this.#client.firstTry }
    })
  }

  /** Makes the object of these parts, which are all of it. Never rejects. @param etag that it will have */
  async complete (parts: readonly B2Part[], etag?: string): Promise<B2Result> {
    const { bucket: Bucket, key, uploadId: UploadId } = this.#tools
    const Parts = [...parts].sort((a, b) => a.number - b.number).map(({ number, etag }) => ({ PartNumber: number, ETag: etag }))
    this.#client.expectedEtag = etag
    return await this.#settled(async () => {
      await this.#client.send(new CompleteMultipartUploadCommand({ Bucket, Key: key, UploadId, MultipartUpload: { Parts } }))
      return this.#tools.describe()
    })
  }

  /** Says that the client has sent everything: from now on B2 has to acknowledge something in time, if a client waits. */
  allCame (): void {
    this.#tools.onAllCame()
  }

  /** Ends it here. B2 keeps the parts. */
  close (): void {
    this.#tools.signal.removeEventListener('abort', this.#onAbort)
    this.#tools.onEnd()
  }

  async #settled<Result> (request: () => Promise<Result>): Promise<Result | B2UploadFailure> {
    try {
      return await Promise.race([request(), this.#client.failed])
    } catch (error) {
      this.#client.abort()
      return this.#tools.explain(error)
    }
  }
}
