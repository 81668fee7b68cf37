import {
  AbortMultipartUploadCommand, DeleteObjectCommand, ListMultipartUploadsCommand, ListObjectVersionsCommand,
} from '@aws-sdk/client-s3'
import type { B2Client } from './client.ts'
import { describeFailure } from './error-codes.ts'
import type { Log } from './store.ts'

/** Something that a failure left, or may have left, in B2. */
export type Leftover =
  /** One unfinished multipart upload. */
  | { readonly kind: 'upload', readonly key: string, readonly uploadId: string }
  /** All unfinished multipart uploads of a key, whose ids only B2 knows. */
  | { readonly kind: 'uploads', readonly key: string }
  /** All versions of an object. */
  | { readonly kind: 'object', readonly key: string }
  /** All versions of an object but the newest. */
  | { readonly kind: 'doubles', readonly key: string }

export interface B2CleanupOptions {
  readonly client: B2Client
  readonly bucket: string
  readonly log?: Log
}

const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 60_000
const GRACE_AT_CLOSE_MS = 2_000

/** Removes leftovers from B2 in the background, one after the other, and keeps at it while B2 is out of reach. */
export class B2Cleanup {
  readonly #options: B2CleanupOptions
  readonly #waiting = new Set<Leftover>()
  readonly #cancel = new AbortController()
  #working: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #pauseMs = FIRST_PAUSE_MS
  #closed = false

  constructor (options: B2CleanupOptions) {
    this.#options = options
  }

  /** Takes a leftover on and begins at once. */
  add (leftover: Leftover): void {
    this.#waiting.add(leftover)
    this.retry()
  }

  /** Works off what is waiting now, rather than after the pause. */
  retry (): void {
    if (this.#closed || this.#waiting.size === 0) return
    clearTimeout(this.#timer)
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined
      if (this.#waiting.size === 0 || this.#closed) return
      this.#timer = setTimeout(() => this.retry(), this.#pauseMs)
      this.#timer.unref()
      this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS)
    })
  }

  /** Gives what is under way two seconds more, then ends it and logs what is left. */
  async close (): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    const cancelTimer = setTimeout(() => this.#cancel.abort(), GRACE_AT_CLOSE_MS)
    await this.#working
    clearTimeout(cancelTimer)
    if (this.#waiting.size > 0) {
      this.#options.log?.warn({ event: 'b2.leftovers', leftovers: [...this.#waiting] },
        'B2 could not be cleaned up before the end; the bucket\'s lifecycle rule removes unfinished uploads')
    }
  }

  async #work (): Promise<void> {
    for (const leftover of this.#waiting) {
      if (this.#cancel.signal.aborted) return
      try {
        await this.#remove(leftover)
        this.#waiting.delete(leftover)
        this.#pauseMs = FIRST_PAUSE_MS
      } catch (error) {
        const { error_code, detail } = describeFailure(error)
        this.#options.log?.warn({ event: 'b2.cleanup_failed', ...leftover, error_code, detail }, 'B2 could not be cleaned up yet')
      }
    }
  }

  async #remove (leftover: Leftover): Promise<void> {
    const { key } = leftover
    if (leftover.kind === 'upload') return this.#abort(key, leftover.uploadId)
    if (leftover.kind === 'uploads') {
      for (const uploadId of await this.#uploadIds(key)) await this.#abort(key, uploadId)
      return
    }
    const versionIds = await this.#versionIds(key)
    for (const VersionId of leftover.kind === 'object' ? versionIds : versionIds.slice(1)) {
      await this.#options.client.send(new DeleteObjectCommand({ Bucket: this.#options.bucket, Key: key, VersionId }), this.#cancel.signal)
    }
  }

  async #abort (key: string, UploadId: string): Promise<void> {
    try {
      await this.#options.client.send(new AbortMultipartUploadCommand({ Bucket: this.#options.bucket, Key: key, UploadId }), this.#cancel.signal)
    } catch (error) {
      if ((error as { name?: unknown }).name !== 'NoSuchUpload') throw error
    }
  }

  // A key is one upload's alone: what there is of it always fits one page.
  async #uploadIds (key: string): Promise<string[]> {
    const page = await this.#options.client.send(new ListMultipartUploadsCommand({ Bucket: this.#options.bucket, Prefix: key }), this.#cancel.signal)
    return (page.Uploads ?? []).filter(upload => upload.Key === key).map(upload => upload.UploadId!)
  }

  /** Newest first, as S3 lists them. */
  async #versionIds (key: string): Promise<string[]> {
    const page = await this.#options.client.send(new ListObjectVersionsCommand({ Bucket: this.#options.bucket, Prefix: key }), this.#cancel.signal)
    return [...page.Versions ?? [], ...page.DeleteMarkers ?? []].filter(version => version.Key === key).map(version => version.VersionId!)
  }
}
