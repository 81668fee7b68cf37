import { PutObjectCommand } from '@aws-sdk/client-s3'
import { B2Cleanup } from './cleanup.ts'
import { createB2Client } from './client.ts'
import type { B2ConnectionOptions, KnownHashes } from './client.ts'
import { ClientView } from './client-view.ts'
import { describeFailure } from './error-codes.ts'
import type { B2Failure } from './error-codes.ts'
import { PartFeed } from './part-feed.ts'
import { partUpload } from './part-upload.ts'
import { createRedactor } from './redact.ts'

/** Log methods that the services need; pino's loggers and Fastify's fit. */
export interface Log {
  info (fields: object, message: string): void
  warn (fields: object, message: string): void
  error (fields: object, message: string): void
}

export interface B2StoreOptions extends B2ConnectionOptions {
  /** Bytes of a part of a multipart upload; a file up to this size goes in one request. Default 8 MiB, at least 5 MiB. */
  readonly partBytes?: number
  /** Parts of one upload under way at once. Default 5. */
  readonly concurrency?: number
  readonly log?: Log
}

/** What is known of an object when B2 is first told of it. */
export interface B2ObjectInfo {
  readonly key: string
  readonly contentType: string
  /** Object metadata; values are percent-encoded US-ASCII. */
  readonly metadata?: Record<string, string>
}

/** Outcome of an upload to B2. It is never thrown. */
export type B2Result =
  | { readonly ok: true, readonly key: string, /** True where no try of any request failed. */ readonly firstTry: boolean }
  | B2UploadFailure

export interface B2UploadFailure extends B2Failure {
  readonly ok: false
  /** Tries of the request that failed. */
  readonly attempts: number
  /** True where B2 may have the object all the same. */
  readonly mayBeStored: boolean
}

/** An upload to B2 in parts that is under way. */
export interface B2PartsUpload {
  /** Settles once the upload has: with success only after {@link push} was given the last part. Never rejects. */
  readonly result: Promise<B2Result>
  /** Fires when the upload has failed. */
  readonly failed: AbortSignal
  /** Gives the next part; resolves when B2's side took it, or failed. All parts but the last have exactly `partBytes`. */
  push (part: Uint8Array, last?: boolean): Promise<void>
  /** Ends the upload and removes what B2 has of it, in the background. */
  abort (): void
}

export interface PartsOptions {
  /** Called for each part that B2 acknowledged, by its number from 1 on; `firstTry` is false where it was sent again. */
  onPartStored (partNumber: number, firstTry: boolean): void
  /** Whether a fallback is still possible; where it is, an upload of which B2 acknowledges nothing for 45 s fails. */
  mayFallBack (): boolean
}

// Proxies in front of the service give up after a minute.
const LONGEST_WAIT_FOR_ACKNOWLEDGEMENT_MS = 45_000

const GRACE_AT_CLOSE_MS = 2_000

const LONGEST_RAW_WORDS = 500

/** The primary store: one bucket, reached over Backblaze's S3-compatible API. */
export interface B2Store {
  readonly partBytes: number
  /** Parts of one upload under way at once. */
  readonly concurrency: number
  /** Stores an object in one request; `sha256` (hex) is that of `body`. Never rejects. */
  put (object: B2ObjectInfo, body: Uint8Array, sha256: string): Promise<B2Result>
  /** Begins a multipart upload. */
  begin (object: B2ObjectInfo, options: PartsOptions): B2PartsUpload
  /** Removes every version of an object that may have been stored, in the background, again and again until B2 did it. */
  forget (key: string): void
  /** Works off what is waiting to be removed, now rather than at the next try. */
  retryCleanup (): void
  /** Ends all requests; what is still to be removed from B2 is logged. */
  close (): Promise<void>
}

/** @throws {TypeError} for an endpoint that is no URL. */
export function createB2Store (options: B2StoreOptions): B2Store {
  const partBytes = options.partBytes ?? 8_388_608 // 8 MiB
  const concurrency = options.concurrency ?? 5
  const maxAttempts = options.maxAttempts ?? 4
  const { bucket } = options
  const redact = createRedactor([options.applicationKeyId, options.applicationKey])
  const hashes: KnownHashes = new WeakMap()
  const client = createB2Client(options, hashes)
  const cleanup = new B2Cleanup({ client, bucket, ...(options.log === undefined ? {} : { log: options.log }) })
  const running = new Set<ClientView>()
  const clearing = new Set<Promise<void>>()
  const closing = new AbortController()

  function view (key: string, onPartStored: PartsOptions['onPartStored']): ClientView {
    const created = new ClientView({ client, bucket, key, maxAttempts, closing: closing.signal, onPartStored })
    running.add(created)
    return created
  }

  /** Removes the multipart upload that failed, once it is known which one that is. */
  function clear (own: ClientView, key: string): void {
    const cleared = own.begun.then(() => {
      if (own.uploadId !== undefined) cleanup.add({ kind: 'upload', key, uploadId: own.uploadId })
      if (own.mayHaveStrays) cleanup.add({ kind: 'uploads', key })
      clearing.delete(cleared)
    })
    clearing.add(cleared)
  }

  function params (object: B2ObjectInfo): { Bucket: string, Key: string, ContentType: string, Metadata?: Record<string, string> } {
    return {
      Bucket: bucket,
      Key: object.key,
      ContentType: object.contentType,
      ...(object.metadata === undefined ? {} : { Metadata: object.metadata }),
    }
  }

  function failure (error: unknown, from: ClientView): B2UploadFailure {
    const described = describeFailure(error)
    // Cut last: half a secret could not be told any more.
    const raw = redact(described.raw).slice(0, LONGEST_RAW_WORDS)
    return { ok: false, ...described, raw, attempts: Math.max(1, from.attempts), mayBeStored: from.mayBeStored }
  }

  return {
    partBytes,
    concurrency,

    async put (object, body, sha256) {
      const own = view(object.key, () => {})
      const watch = watchAcknowledgements(own, () => true)
      hashes.set(body, sha256)
      try {
        await Promise.race([own.send(new PutObjectCommand({ ...params(object), Body: body })), own.failed])
        if (own.mayHaveDoubles) cleanup.add({ kind: 'doubles', key: object.key })
        return { ok: true, key: object.key, firstTry: own.firstTry }
      } catch (error) {
        own.cancel()
        return failure(error, own)
      } finally {
        watch.stop()
        running.delete(own)
        hashes.delete(body)
      }
    },

    begin (object, { onPartStored, mayFallBack }) {
      const feed = new PartFeed()
      const failed = new AbortController()
      const own = view(object.key, (partNumber, firstTry) => {
        watch.acknowledged()
        onPartStored(partNumber, firstTry)
      })
      const watch = watchAcknowledgements(own, mayFallBack)
      const upload = partUpload({
        client: own as never,
        params: params(object),
        partSize: partBytes,
        queueSize: concurrency,
        // Its own abort would hide the first error, and waits; the clean-up below does better.
        leavePartsOnError: true,
      }, feed)
      const done = upload.done()
      done.catch(() => {}) // the first failure is the one that counts, and what comes later is cancelled

      async function run (): Promise<B2Result> {
        try {
          await Promise.race([done, own.failed])
          if (own.mayHaveStrays) cleanup.add({ kind: 'uploads', key: object.key })
          return { ok: true, key: object.key, firstTry: own.firstTry }
        } catch (error) {
          failed.abort()
          own.cancel()
          feed.close()
          clear(own, object.key)
          return failure(error, own)
        } finally {
          watch.stop()
          running.delete(own)
        }
      }

      return {
        result: run(),
        failed: failed.signal,
        push: (part, last) => feed.push(part, last),
        abort: () => own.fail(new Error('The upload was cancelled.')),
      }
    },

    forget (key) {
      cleanup.add({ kind: 'object', key })
    },

    retryCleanup () {
      cleanup.retry()
    },

    async close () {
      for (const own of running) own.fail(new Error('The store was closed.'))
      await new Promise(resolve => setImmediate(resolve)) // until they have given up what is to be cleared
      const timer = setTimeout(() => closing.abort(), GRACE_AT_CLOSE_MS)
      await Promise.all(clearing)
      clearTimeout(timer)
      await cleanup.close()
      client.destroy()
    },
  }
}

/** Fails an upload of which B2 acknowledges nothing for 45 s, though it has bytes to take and the file can still go elsewhere. */
function watchAcknowledgements (own: ClientView, mayFallBack: () => boolean): { acknowledged (): void, stop (): void } {
  let last = performance.now()
  const timer = setInterval(() => {
    if (own.inFlight === 0) last = performance.now()
    if (!mayFallBack() || performance.now() - last < LONGEST_WAIT_FOR_ACKNOWLEDGEMENT_MS) return
    own.fail(Object.assign(new Error('B2 acknowledged nothing for 45 seconds.'), { code: 'B2_NO_ACKNOWLEDGEMENT' }))
  }, 1_000)
  return {
    acknowledged () { last = performance.now() },
    stop () { clearInterval(timer) },
  }
}
