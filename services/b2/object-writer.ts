import { createHash } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { CreateMultipartUploadCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import type { Log, UploadContext } from '../log.ts'
import type { Track } from '../receipt.ts'
import { watchAcknowledgements } from './acknowledgements.ts'
import type { B2Cleanup } from './cleanup/cleanup.ts'
import type { B2Client, KnownHashes } from './http/client.ts'
import { ContinuedUpload } from './continued-upload.ts'
import type { ContinueOptions } from './continued-upload.ts'
import { UploadClient } from './upload-client.ts'
import type { B2Begun, B2Part, B2Result, B2Stored, B2UploadFailure, UploadClientOptions } from './upload-client.ts'
import type { B2ErrorCode, B2Failure } from './error-codes.ts'
import { isKeyed } from '../keys.ts'
import { attemptMetadata, attemptOf, companionBody, companionKey } from './object-receipt.ts'
import { PartFeed, partUpload } from './part-feed.ts'
import { describeRedacted } from './redact.ts'

export interface ObjectWriterOptions {
  readonly client: B2Client
  readonly bucket: string
  readonly partBytes: number
  readonly concurrency: number
  readonly maxAttempts: number
  /** See the client's options. */
  readonly stallTimeoutMs: number
  readonly ackTimeoutMs: number
  /** The client's, filled with the hashes of bodies that are being sent. */
  readonly hashes: KnownHashes
  readonly redact: (text: string) => string
  /** Removes what failures leave. */
  readonly cleanup: B2Cleanup
  readonly log?: Log
  /** Called with each failure of B2. */
  onFailure (error_code: B2ErrorCode): void
}

/** What is known of an object when its upload begins. */
export interface B2ObjectInfo {
  readonly key: string
  readonly contentType: string
  /** Object metadata; values are percent-encoded US-ASCII. If it has an `attempt`, only an object with the same one counts as this one. */
  readonly metadata?: Record<string, string>
  /** Its upload, for the log. */
  readonly context?: UploadContext
}

/** An upload to B2 in parts that is under way. */
export interface B2PartsUpload {
  /** Settles once the upload has: with success only after {@link push} was given the last part. Never rejects. */
  readonly result: Promise<B2Result>
  /** Fires when the upload has failed. */
  readonly failed: AbortSignal
  /** Sends the next part; resolves when a request has taken it, or the upload has failed. All parts but the last have exactly `partBytes`. */
  push (part: Uint8Array, last?: boolean): Promise<void>
  /** Aborts the upload, and removes what B2 has of it in the background. */
  abort (): void
  /** Removes what B2 keeps of it, in the background. Resolves once that is sure to happen. */
  clear (): Promise<void>
}

export interface PutOptions {
  /** Aborts the request; what B2 has done with it stays unknown. */
  readonly signal?: AbortSignal
  /** Whether no client waits for it: it may take as long as bytes move, and its body is sent only while no others wait. Default false: it fails if B2 acknowledges nothing for `ackTimeoutMs`. */
  readonly isPatient?: boolean
}

export interface ReceiptOptions extends PutOptions {
  readonly context?: UploadContext
  /** The one in the object's metadata. */
  readonly attempt?: string | undefined
  /** That the object will have. */
  readonly etag?: string | undefined
}

export interface PartsOptions {
  /** Called for each part that B2 acknowledged, with its number from 1 on; `firstTry` is false if it was sent again. */
  onPartStored (partNumber: number, firstTry: boolean): void
  /** Whether a fallback is still possible. If so, the upload fails once the client has sent everything and B2 acknowledges nothing for `ackTimeoutMs`. */
  mayFallBack (): boolean
  /** Whether B2 shall keep the acknowledged parts after this failure, until {@link B2PartsUpload.clear}. Default: they are removed. */
  keepsParts? (failure: B2Failure): boolean
  /** Bytes of every part but the last. Default: the store's. */
  readonly partBytes?: number
  /** Whether the sha256 of each part is signed over https, too, whatever the store does for others. Default false. */
  readonly signParts?: boolean
  /** Whether no client waits for it: its parts are sent only while no others wait. Default false. */
  readonly isPatient?: boolean
}

export interface ObjectWriter {
  /** Stores an object in one request; `sha256` (hex) is that of `body`. Never rejects. */
  put (object: B2ObjectInfo, body: Uint8Array, sha256: string, options?: PutOptions): Promise<B2Result>
  /** Begins a multipart upload. */
  begin (object: B2ObjectInfo, options: PartsOptions): B2PartsUpload
  /** Begins a multipart upload that {@link continue} goes on with. Never rejects. @param signal gives up; what B2 may have begun is removed */
  create (object: B2ObjectInfo, signal: AbortSignal): Promise<B2Begun | B2UploadFailure>
  /** Goes on with a multipart upload. */
  continue (object: B2ObjectInfo, options: ContinueOptions): ContinuedUpload
  /** Stores the companion of an object whose metadata lacks the receipt; a failure is logged. Never rejects. */
  putReceipt (track: Track, options?: ReceiptOptions): Promise<B2Result>
  /** Aborts all uploads, and hands what they leave to the clean-up. */
  close (): Promise<void>
}

const GRACE_AT_CLOSE_MS = 2_000

/** B2 did not fail: this service aborted the upload. */
class Aborted extends Error {}

export function createObjectWriter (options: ObjectWriterOptions): ObjectWriter {
  const { client, bucket, partBytes: usualPartBytes, concurrency, maxAttempts, hashes, redact, cleanup, onFailure } = options
  const running = new Set<UploadClient>()
  const clearing = new Set<Promise<void>>()
  const closing = new AbortController()
  setMaxListeners(0, closing.signal) // each upload that begins listens

  function view ({ key, metadata }: B2ObjectInfo, own: Pick<UploadClientOptions, 'onPartStored' | 'isBackground' | 'objectBytes'> & { signParts?: boolean | undefined }): UploadClient {
    const created = new UploadClient({ ...own, attempt: attemptOf(metadata), signParts: own.signParts ?? false, client, bucket, key, maxAttempts, closing: closing.signal })
    running.add(created)
    return created
  }

  /** What the clean-up has to know of each leftover of an object. */
  function leftoverOf ({ key, context }: B2ObjectInfo) {
    return { key, ...(context === undefined ? {} : { correlation_id: context.correlationId }) }
  }

  /**
   * Removes the multipart upload that failed, once its id is known. If its completion was sent, it is written down first, and the
   * fallback waits for that: from then on any process may promote the file.
   */
  async function clear (own: UploadClient, object: B2ObjectInfo): Promise<void> {
    if (own.mayComplete && own.uploadId !== undefined) {
      await cleanup.note({ kind: 'upload', uploadId: own.uploadId, mayComplete: true, ...leftoverOf(object) })
    }
    const cleared = own.begun.then(() => {
      if (own.uploadId !== undefined && !own.mayComplete) cleanup.add({ kind: 'upload', uploadId: own.uploadId, ...leftoverOf(object) })
      addStrays(own, object)
      clearing.delete(cleared)
    })
    clearing.add(cleared)
  }

  /** Those of a keyed file may be another process's: the sweep ends them when they are old. @param kept the upload that stays */
  function addStrays (own: UploadClient, object: B2ObjectInfo, kept?: string): void {
    if (own.mayHaveStrays && !isKeyed(object.key)) cleanup.add({ kind: 'uploads', ...leftoverOf(object), ...(kept === undefined ? {} : { except: kept }) })
  }

  function params (object: B2ObjectInfo): { Bucket: string, Key: string, ContentType: string, Metadata?: Record<string, string> } {
    return {
      Bucket: bucket,
      Key: object.key,
      ContentType: object.contentType,
      ...(object.metadata === undefined ? {} : { Metadata: object.metadata }),
    }
  }

  function stored ({ key, metadata }: B2ObjectInfo, { firstTry, versionId }: UploadClient): B2Stored {
    return { ok: true, key, firstTry, ...(attemptOf(metadata) === undefined ? {} : { versionId }) }
  }

  function failure (error: unknown, from: UploadClient): B2UploadFailure {
    const described = describeRedacted(error, redact)
    if (!(error instanceof Aborted)) onFailure(described.error_code)
    return { ok: false, ...described, attempts: Math.max(1, from.attempts), mayBeStored: from.mayBeStored }
  }

  async function put (object: B2ObjectInfo, body: Uint8Array, sha256: string, { signal, isPatient = false }: PutOptions = {}): Promise<B2Result> {
    const own = view(object, { isBackground: isPatient, onPartStored () {} })
    const watch = watchAcknowledgements(own, options, () => !isPatient)
    watch.allCame()
    const abort = (): void => own.fail(new Aborted('The upload was aborted.'))
    if (signal?.aborted === true) abort()
    signal?.addEventListener('abort', abort)
    hashes.set(body, sha256)
    try {
      await Promise.race([own.send(new PutObjectCommand({ ...params(object), Body: body })), own.failed])
      if (own.mayHaveDoubles) cleanup.add({ kind: 'doubles', ...leftoverOf(object) })
      return stored(object, own)
    } catch (error) {
      own.abort()
      return failure(error, own)
    } finally {
      watch.stop()
      signal?.removeEventListener('abort', abort)
      running.delete(own)
      hashes.delete(body)
    }
  }

  return {
    put,

    begin (object, { onPartStored, mayFallBack, keepsParts, signParts, isPatient = false, partBytes = usualPartBytes }) {
      const feed = new PartFeed()
      const failed = new AbortController()
      const acknowledged: B2Part[] = []
      const own = view(object, {
        isBackground: isPatient,
        signParts,
        onPartStored (number, firstTry, etag) {
          // What comes after the failure counts as not stored, for the owner, too.
          if (failed.signal.aborted) return
          watch.acknowledged()
          acknowledged.push({ number, etag })
          onPartStored(number, firstTry)
        },
      })
      const watch = watchAcknowledgements(own, options, mayFallBack)
      const upload = partUpload({
        client: own as never,
        params: params(object),
        partSize: partBytes,
        queueSize: concurrency,
        // lib-storage's own abort would hide the first error, and would wait for B2.
        leavePartsOnError: true,
      }, feed)
      const done = upload.done()
      done.catch(() => {}) // only the first failure counts; the rest is aborted

      async function run (): Promise<B2Result> {
        try {
          await Promise.race([done, own.failed])
          addStrays(own, object)
          return stored(object, own)
        } catch (error) {
          failed.abort()
          own.abort()
          feed.close()
          const described = failure(error, own)
          if (own.uploadId !== undefined && keepsParts?.(described) === true) {
            addStrays(own, object, own.uploadId)
            return { ...described, unfinished: { uploadId: own.uploadId, parts: acknowledged.sort((a, b) => a.number - b.number) } }
          }
          await clear(own, object)
          return described
        } finally {
          watch.stop()
          running.delete(own)
        }
      }

      return {
        result: run(),
        failed: failed.signal,
        push (part, last) {
          if (last === true) watch.allCame()
          return feed.push(part, last)
        },
        abort: () => own.fail(new Aborted('The upload was aborted.')),
        clear: async () => await clear(own, object),
      }
    },

    async create (object, signal) {
      const own = view(object, { onPartStored () {} })
      const abort = (): void => own.fail(new Aborted('The upload was aborted.'))
      if (signal.aborted) abort()
      signal.addEventListener('abort', abort)
      try {
        await Promise.race([own.send(new CreateMultipartUploadCommand(params(object))), own.failed])
        addStrays(own, object, own.uploadId)
        return { ok: true, uploadId: own.uploadId! }
      } catch (error) {
        const described = failure(error, own)
        await clear(own, object)
        return described
      } finally {
        signal.removeEventListener('abort', abort)
        running.delete(own)
      }
    },

    continue (object, how) {
      const { isPatient = true, signParts = true } = how
      const own = view(object, { isBackground: isPatient, signParts, objectBytes: how.size, onPartStored: () => watch.acknowledged() })
      const watch = watchAcknowledgements(own, options, () => !isPatient)
      return new ContinuedUpload(own, {
        bucket,
        key: object.key,
        hashes,
        ...how,
        explain: error => failure(how.signal.aborted ? new Aborted('The upload was aborted.') : error, own),
        describe: () => stored(object, own),
        onAllCame: () => watch.allCame(),
        onEnd () {
          watch.stop()
          running.delete(own)
        },
      })
    },

    async putReceipt (known, { context, attempt, etag, ...how } = {}) {
      const body = companionBody(known, etag)
      const hash = createHash('sha256').update(body).digest('hex')
      const key = companionKey(known.key, attempt)
      const companion = { key, contentType: 'application/json', metadata: attemptMetadata(attempt), ...(context === undefined ? {} : { context }) }
      const result = await put(companion, body, hash, how)
      if (!result.ok) {
        const { error_code, detail, attempts, raw } = result
        const log = context?.log ?? options.log
        log?.warn({ event: 'b2.receipt_failed', key: known.key, error_code, detail, attempts, b2_says: raw }, 'B2 did not take the receipt')
      }
      return result
    },

    async close () {
      for (const own of running) own.fail(new Aborted('The store was closed.'))
      await new Promise(resolve => setImmediate(resolve)) // until each has begun to clear
      const timer = setTimeout(() => closing.abort(), GRACE_AT_CLOSE_MS)
      await Promise.all(clearing)
      clearTimeout(timer)
    },
  }
}
