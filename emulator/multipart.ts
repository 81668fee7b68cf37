import { createHash } from 'node:crypto'
import { S3Error } from './http/errors.ts'
import { compareKeys, newFileId } from './store.ts'
import type { Content, ObjectInfo } from './store.ts'

/** A multipart upload that was neither completed nor aborted. */
export interface MultipartUpload {
  uploadId: string
  key: string
  initiated: Date
  info: ObjectInfo
  parts: Map<number, { content: Content, lastModified: Date }>
}

/** The unfinished multipart uploads of the bucket. */
export class MultipartUploads {
  readonly #uploads = new Map<string, MultipartUpload>()
  readonly #minPartBytes: number

  constructor (minPartBytes: number) {
    this.#minPartBytes = minPartBytes
  }

  create (key: string, info: ObjectInfo): MultipartUpload {
    const upload: MultipartUpload = { uploadId: newFileId('upload'), key, initiated: new Date(), info, parts: new Map() }
    this.#uploads.set(upload.uploadId, upload)
    return upload
  }

  /** Throws S3Error 404 `NoSuchUpload` if it was completed, aborted, never began, or belongs to another key. */
  get (uploadId: string | undefined, key: string): MultipartUpload {
    const upload = uploadId === undefined ? undefined : this.#uploads.get(uploadId)
    if (upload?.key !== key) throw new S3Error(404, 'NoSuchUpload', 'The specified upload does not exist')
    return upload
  }

  putPart (upload: MultipartUpload, partNumber: number, content: Content): void {
    upload.parts.set(partNumber, { content, lastModified: new Date() })
  }

  abort (upload: MultipartUpload): void {
    this.#uploads.delete(upload.uploadId)
  }

  /** Ends all of them, or those of one key. Returns how many. */
  endAll (key?: string): number {
    const ended = this.all().filter((upload) => key === undefined || upload.key === key)
    for (const upload of ended) this.abort(upload)
    return ended.length
  }

  /**
   * Joins the named parts; the upload is gone afterwards, with the parts that were not named.
   * Throws S3Error 400 `InvalidPartOrder`, `InvalidPart` or `EntityTooSmall`, and then the upload stays.
   */
  complete (upload: MultipartUpload, named: ReadonlyArray<{ partNumber: number, etag: string }>): { content: Content, etag: string } {
    const contents = named.map(({ partNumber, etag }, index) => {
      const previous = named[index - 1]
      if (previous !== undefined && previous.partNumber >= partNumber) {
        throw new S3Error(400, 'InvalidPartOrder', 'The list of parts was not in ascending order')
      }
      const part = upload.parts.get(partNumber)
      if (part?.content.md5 !== etag) {
        throw new S3Error(400, 'InvalidPart', `Part number ${partNumber} has not been uploaded or its entity tag does not match`)
      }
      return part.content
    })
    if (contents.slice(0, -1).some(({ size }) => size < this.#minPartBytes)) {
      throw new S3Error(400, 'EntityTooSmall', `Every part but the last must be at least ${this.#minPartBytes} bytes`)
    }

    const md5 = createHash('md5')
    for (const content of contents) md5.update(Buffer.from(content.md5, 'hex'))
    const digest = md5.digest('hex')
    this.#uploads.delete(upload.uploadId)
    return {
      content: {
        chunks: contents.flatMap(({ chunks }) => chunks),
        size: contents.reduce((sum, { size }) => sum + size, 0),
        md5: digest,
        sha256: undefined,
      },
      etag: `${digest}-${contents.length}`,
    }
  }

  /** By key in listing order, oldest first within a key. */
  all (): MultipartUpload[] {
    return [...this.#uploads.values()].sort((a, b) => compareKeys(a.key, b.key))
  }

  clear (): void {
    this.#uploads.clear()
  }
}
