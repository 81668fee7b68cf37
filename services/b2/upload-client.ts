import { setMaxListeners } from 'node:events'
import {
  CompleteMultipartUploadCommand, CreateMultipartUploadCommand, HeadObjectCommand, PutObjectCommand, UploadPartCommand,
} from '@aws-sdk/client-s3'
import type { UploadPartCommandOutput } from '@aws-sdk/client-s3'
import { onNewConnection, watchingTries, withSignedBody } from './http/client.ts'
import type { B2Client, B2Command } from './http/client.ts'
import { Movement } from './line/movement.ts'
import { TransportError } from './http/request-handler.ts'
import { areDifferent, attemptOf } from './object-receipt.ts'
import { isStall, outcomeUnknown } from './http/retry-strategy.ts'
import type { B2Failure } from './error-codes.ts'

/** Outcome of an upload to B2. It is never thrown. */
export type B2Result =
  | B2Stored
  | B2UploadFailure

export interface B2Stored {
  readonly ok: true
  readonly key: string
  /** True if no try of any request failed. */
  readonly firstTry: boolean
  /** B2's id of the object, if it said one and the key may be another's, too. */
  readonly versionId?: string | undefined
}

export interface B2UploadFailure extends B2Failure {
  readonly ok: false
  /** Tries of the request that failed. */
  readonly attempts: number
  /** True if B2 may have the object although the upload failed. */
  readonly mayBeStored: boolean
  /** What B2 keeps of it, if the owner wanted that. */
  readonly unfinished?: B2Unfinished
}

/** A multipart upload that can be continued: B2 keeps its parts until somebody ends it. */
export interface B2Unfinished {
  readonly uploadId: string
  /** The parts that B2 has acknowledged, by their numbers. */
  readonly parts: readonly B2Part[]
}

/** A multipart upload that has begun. */
export interface B2Begun {
  readonly ok: true
  readonly uploadId: string
}

export interface B2Part {
  readonly number: number
  /** As B2 gave it. */
  readonly etag: string
}

export interface UploadClientOptions {
  readonly client: B2Client
  readonly bucket: string
  readonly key: string
  readonly maxAttempts: number
  /** Whether the hashes of parts are signed over https, too. */
  readonly signParts: boolean
  /** Whether its bodies are sent only while no others wait. Default false. */
  readonly isBackground?: boolean
  /** Aborts even what {@link UploadClient.abort} does not. */
  readonly closing: AbortSignal
  /** Bytes of the whole object, if this continues a multipart upload. Default: those that it sends itself. */
  readonly objectBytes?: number
  /** In the object's metadata, if other uploads may have the same key. */
  readonly attempt?: string | undefined
  /** Called once for each part that B2 acknowledged; `firstTry` is false if it was sent more than once. */
  onPartStored (partNumber: number, firstTry: boolean, etag: string): void
}

/**
 * One upload's own view of the S3 client. All that `Upload` sends goes through here, so that all of it can be aborted, the
 * first failure is known at once and kept, and the outcome of a request whose answer was lost is found out first.
 */
export class UploadClient {
  readonly config: B2Client['config']
  /** The bytes of its requests that move. */
  readonly movement: Movement
  readonly #options: UploadClientOptions
  readonly #abort = new AbortController()
  #reject: (error: unknown) => void = () => {}
  #sentBytes = 0
  /** Rejects with the first failure. */
  readonly failed: Promise<never>
  /** ETag that the object will have, if another process may make another one of the same size. */
  expectedEtag: string | undefined
  /** Tries of the request that failed this upload. */
  attempts = 0
  /** False once a try of any request failed. */
  firstTry = true
  /** Requests under way. */
  inFlight = 0
  /** The multipart upload, if one has begun. */
  uploadId: string | undefined
  /**
   * Resolves when the request that begins a multipart upload has been answered or has failed. It is never aborted, since only
   * its answer tells what to remove: a listing at that moment may be too early.
   */
  begun: Promise<void> = Promise.resolve()
  /** True if a multipart upload may have begun whose id only B2 knows. */
  mayHaveStrays = false
  /** True if the completion of the multipart upload was sent. */
  mayComplete = false
  /** True if the object may be stored although this upload failed. */
  mayBeStored = false
  /** Of the object that was stored, if B2 said it. */
  versionId: string | undefined
  /** True if the object may have been stored more than once, as several versions. */
  mayHaveDoubles = false

  constructor (options: UploadClientOptions) {
    this.config = options.client.config
    this.movement = new Movement(options.client.turns, options.isBackground)
    this.#options = options
    setMaxListeners(0, this.#abort.signal) // each of its requests listens, and their bodies that wait
    this.failed = new Promise((_resolve, reject) => { this.#reject = reject })
    this.failed.catch(() => {})
  }

  /** Aborts all requests of this upload but the one that begins a multipart upload. */
  abort (): void { this.#abort.abort() }

  /** Makes `error` this upload's failure, unless it has one already. */
  fail (error: unknown, attempts = 1): void {
    this.attempts ||= attempts
    this.#reject(error)
  }

  /** Stands in for `S3Client.send`. */
  async send (command: B2Command): Promise<object> {
    this.#abort.signal.throwIfAborted()
    this.inFlight++
    const tries = { count: 0 }
    try {
      return await this.#sendOrSettle(command, tries)
    } catch (error) {
      this.fail(error, tries.count)
      throw error
    } finally {
      this.inFlight--
    }
  }

  async #sendOrSettle (command: B2Command, tries: Tries): Promise<object> {
    if (command instanceof UploadPartCommand) {
      const output = await this.#request(this.#options.signParts ? withSignedBody(command) : command, tries)
      this.#sentBytes += (command.input.Body as Uint8Array).byteLength
      this.#options.onPartStored(command.input.PartNumber!, tries.count === 1, (output as UploadPartCommandOutput).ETag!)
      return output
    }
    if (command instanceof PutObjectCommand) {
      return this.#settle(command, (command.input.Body as Uint8Array).byteLength, tries)
    }
    if (command instanceof CompleteMultipartUploadCommand) {
      this.mayComplete = true
      return this.#settle(command, this.#options.objectBytes ?? this.#sentBytes, tries)
    }
    if (command instanceof CreateMultipartUploadCommand) return this.#create(command, tries)
    return this.#request(command, tries)
  }

  async #create (command: CreateMultipartUploadCommand, tries: Tries): Promise<object> {
    let settled = (): void => {}
    this.begun = new Promise(resolve => { settled = resolve })
    watchingTries(command, error => { if (mayHaveBegun(error)) this.mayHaveStrays = true })
    try {
      const output = await this.#request(command, tries, this.#options.closing)
      this.uploadId = output.UploadId
      return output
    } finally {
      settled()
    }
  }

  /**
   * Sends a request that stores the object. If its answer leaves open whether it did, HeadObject decides: no other upload has
   * this key (or it has another attempt), so an object of the right size is the one that was sent. If there is none, the request is sent again.
   */
  async #settle (command: PutObjectCommand | CompleteMultipartUploadCommand, size: number, tries: Tries): Promise<object> {
    let stalls = 0
    let unknown = false
    watchingTries(command, error => {
      if (!isBroken(error)) return
      unknown = true
      if (command instanceof PutObjectCommand) this.mayHaveDoubles = true
    })
    for (let round = 1; ; round++) {
      let error: unknown
      // Until its answer tells: it may be aborted at any moment.
      this.mayBeStored = true
      try {
        const output = await this.#request(round === 1 ? command : onNewConnection(command), tries)
        this.versionId = (output as { VersionId?: string }).VersionId
        if (output.ETag !== undefined) return output
        error = Object.assign(new Error('B2 answered success without an ETag.'), { name: 'IncompleteAnswer' })
      } catch (caught) {
        // After a Complete that was carried out, the next try gets NoSuchUpload.
        const settled = outcomeUnknown(caught) || (caught as { name?: unknown }).name === 'NoSuchUpload'
        if (!settled) {
          this.mayBeStored = unknown
          throw caught
        }
        error = caught
      }
      // Even if nothing is found now: what was sent may still be on its way.
      unknown = true
      if (isStall(error)) stalls++
      const found = await this.#look(size, error)
      if (found !== undefined) return found
      if (command instanceof PutObjectCommand) this.mayHaveDoubles = true
      if (round >= this.#options.maxAttempts || stalls > 1 || (error as { name?: unknown }).name === 'NoSuchUpload') throw error
    }
  }

  /** The stored object's ETag, or undefined if there is no object. @throws `reason` if B2 can't tell. */
  async #look (size: number, reason: unknown): Promise<object | undefined> {
    const { bucket: Bucket, key: Key, attempt } = this.#options
    try {
      const head = await this.#request(new HeadObjectCommand({ Bucket, Key }), { count: 0 })
      if (head.ContentLength !== size || attemptOf(head.Metadata) !== attempt || areDifferent(head.ETag, this.expectedEtag)) return undefined
      this.versionId = head.VersionId
      return { ETag: head.ETag }
    } catch (error) {
      if ((error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode === 404) return undefined
      throw reason
    }
  }

  async #request<Output extends object> (command: B2Command<Output>, tries: Tries, signal = this.#abort.signal): Promise<Output & { $metadata: { attempts?: number } }> {
    try {
      const output = await this.#options.client.send(command, signal, { movement: this.movement })
      tries.count += output.$metadata.attempts ?? 1
      if (tries.count > 1) this.firstTry = false
      return output
    } catch (error) {
      tries.count += (error as { $metadata?: { attempts?: number } }).$metadata?.attempts ?? 1
      this.firstTry = false
      throw error
    }
  }
}

/** False if B2 never got the request that begins an upload, or answered that it did nothing. */
function mayHaveBegun (error: unknown): boolean {
  if (error instanceof TransportError) return error.wasSent
  const status = (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode ?? 0
  return status < 400 || isBroken(error)
}

/**
 * True for the answer of a server, or of a proxy in front of it, that failed halfway and may have stored the object. A 503 from
 * B2 says that it is too busy to begin, a 501 that it can't.
 */
function isBroken (error: unknown): boolean {
  const status = (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode ?? 0
  return status >= 500 && status !== 501 && status !== 503
}

interface Tries { count: number }
