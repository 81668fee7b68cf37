import { MAX_CONCURRENCY, withDefaults } from '../config/options.ts'
import type { Log } from '../log.ts'
import { B2Cleanup } from './cleanup/cleanup.ts'
import { contend, isOpen } from './cleanup/contest.ts'
import type { Contender } from './cleanup/contest.ts'
import { createB2Client } from './http/client.ts'
import type { B2ConnectionOptions, KnownHashes } from './http/client.ts'
import type { B2ErrorCode } from './error-codes.ts'
import { Remover } from './cleanup/remover.ts'
import { Notes } from './cleanup/notes.ts'
import type { NotesOptions } from './cleanup/notes.ts'
import { createObjectReader } from './object-reader.ts'
import type { ObjectReader } from './object-reader.ts'
import { attemptMetadata } from './object-receipt.ts'
import { createObjectWriter } from './object-writer.ts'
import type { ObjectWriter } from './object-writer.ts'
import { ReadRequests } from './read-requests.ts'
import { createRedactor } from './redact.ts'
import { FOR_READERS } from './http/retry-strategy.ts'

export type { Contender } from './cleanup/contest.ts'
export type { B2ObjectInfo, B2PartsUpload, PartsOptions, PutOptions } from './object-writer.ts'
export type { B2Begun, B2Part, B2Result, B2Unfinished, B2UploadFailure } from './upload-client.ts'

export interface B2StoreOptions extends B2ConnectionOptions {
  /** Bytes of a part of a multipart upload; a file up to this size goes in one request. Default 8 MiB, at least 5 MiB, less than 2 GiB. */
  readonly partBytes?: number
  /** Parts of one upload under way at once. Default 5. */
  readonly concurrency?: number
  /** Directory for notes of what is to be removed from B2. Default: memory only. */
  readonly leftoversDir?: string
  /** How that directory is accessed. Default: without deadlines. */
  readonly leftoversDisk?: Pick<NotesOptions, 'fs' | 'mayBlock'>
  /** Whether a key has a file or a receipt in local storage, so that nothing of it may be removed. Default: none has. */
  isWanted? (key: string): Promise<boolean>
  /** Whether a process may be writing the object now, so that it is to be removed later. Default: none is. */
  isBusy? (key: string): Promise<boolean>
  /** Whether a client may still go on with the multipart upload of a key. Default: none does. */
  isContinued? (key: string): Promise<boolean>
  /** Removes a deleted file from local storage. Default: does nothing. */
  removeHere? (key: string): Promise<void>
  /** The prefix of all keys; old unfinished uploads of such keys are aborted. Default: none are. */
  readonly keyPrefix?: string
  /**
   * Milliseconds after which an unfinished multipart upload is aborted that no file or receipt in local storage belongs to. Default
   * 604,800,000 (7 days), at least a day; 0: never. The bucket's lifecycle rule must not be shorter.
   */
  readonly unfinishedMaxAgeMs?: number
  readonly log?: Log
  /** Called with each failure of B2, in whatever request, after its retries. */
  onFailure? (error_code: B2ErrorCode): void
}

/** The primary store: one bucket, reached over Backblaze's S3-compatible API. */
export interface B2Store extends ObjectReader, Omit<ObjectWriter, 'close'> {
  readonly partBytes: number
  /** Milliseconds for which B2's unfinished uploads are kept; 0: until somebody aborts them. */
  readonly unfinishedMaxAgeMs: number
  /** Parts of one upload under way at once. */
  readonly concurrency: number
  /** Milliseconds for which B2 may acknowledge nothing once a client has sent everything; 0: no such bound. */
  readonly ackTimeoutMs: number
  /** Removes every version of the object and of its companion, now. A missing object is not an error. @throws {B2ReadError} */
  remove (key: string): Promise<void>
  /**
   * Removes every version of an object that may have been stored, and its companion, in the background, with new tries until B2
   * does it. Readers in this process don't find it from the call on. Resolves with true once that is written down; with false
   * if it could not be, so that a restart forgets it. Never rejects.
   * @param correlationId of the upload, for the log, here and below
   * @param attempt that may have stored it; what others have stored under the key stays. Default: all is removed. The same below
   */
  forget (key: string, correlationId?: string, attempt?: string): Promise<boolean>
  /**
   * The same for a file that a client deleted: it is removed even if a process promotes it meanwhile. While another process may be
   * promoting it, the deletion is remembered, and what still comes to B2 is removed as well.
   * @param isUnclaimed whether such a process may have no claim, so that only time tells when it has stopped
   */
  forgetDeleted (key: string, isUnclaimed: boolean, correlationId?: string, attempt?: string): Promise<boolean>
  /**
   * Ends a multipart upload that was kept, now, so that no object can come of it any more.
   * @throws {B2ReadError}
   */
  end (key: string, uploadId: string): Promise<void>
  /** The same in the background, with new tries until B2 does it. Resolves with whether it is written down. Never rejects. */
  endLater (key: string, uploadId: string, correlationId?: string): Promise<boolean>
  /** Removes every version of all objects whose keys begin with `prefix`, in the background, with new tries until B2 does it. */
  removeBelow (prefix: string, correlationId?: string): void
  /** The same, written down first. Resolves with whether it is. Never rejects. */
  noteBelow (prefix: string, correlationId?: string): Promise<boolean>
  /** True while a deletion is remembered because a process without a claim may be promoting the file. */
  mayReturn (key: string): boolean
  /**
   * Says that `key` is now the stored and acknowledged object. Whichever process noted that it is to be removed, it stays, and so
   * does its companion. Older versions go if there was such a note, or with `mayHaveDoubles`. From the call on this process does
   * not remove the object. Once the promise resolves, no other process and no restart does, so the caller must await it before
   * it removes the local file or receipt. It rejects if the disk failed.
   */
  settle (key: string, mayHaveDoubles: boolean, correlationId?: string, attempt?: string): Promise<void>
  /**
   * Has an upload that may not be the only one with its key, and that has stored its object, win or give way: then nothing of it is left.
   * @returns whether it has won
   * @throws {B2ReadError} if that can't be told
   */
  contend (contender: Contender, signal?: AbortSignal): Promise<boolean>
  /** Whether it is still open which of several uploads has a key. @throws {B2ReadError} */
  isContested (key: string, signal?: AbortSignal): Promise<boolean>
  /** Removes all versions but the newest of an object and of its companion, in the background. */
  removeDoubles (key: string, correlationId?: string): void
  /** The same, written down first, so that no kill forgets it. Never rejects. */
  noteDoubles (key: string, correlationId?: string): Promise<boolean>
  /** True while `key`, or what this attempt stored under it, is to be removed from B2: readers don't find it any more. */
  isForgotten (key: string, attempt?: string): boolean
  /** True while anything that was stored under `key` is to be removed from B2, whichever attempt stored it. */
  isRemoving (key: string): boolean
  /**
   * True while a multipart upload of `key`, of any process on the directory, is to be aborted whose completion was sent and may
   * still be carried out. Never rejects.
   */
  mayComplete (key: string): Promise<boolean>
  /** True while this is so, or {@link isRemoving}, or all below `below` is to be removed, of any process on the directory. Never rejects. */
  hasLeftovers (key: string, below?: string): Promise<boolean>
  /** Removes what waits to be removed, now rather than at the next try. At most once an hour it also looks for unfinished uploads. */
  retryCleanup (): void
  /** Aborts all requests; what is still to be removed from B2 is logged. */
  close (): Promise<void>
}

/** @throws {TypeError} for an endpoint that is not a URL. */
export function createB2Store (given: B2StoreOptions): B2Store {
  const options = withDefaults('b2', given)
  const { bucket, partBytes, concurrency = MAX_CONCURRENCY, maxAttempts, unfinishedMaxAgeMs, stallTimeoutMs, ackTimeoutMs } = options
  const log = options.log === undefined ? {} : { log: options.log }
  const onFailure = (error_code: B2ErrorCode): void => options.onFailure?.(error_code)
  const redact = createRedactor([options.applicationKeyId, options.applicationKey])
  const hashes: KnownHashes = new WeakMap()
  const client = createB2Client(options, hashes)
  const cleanup = new B2Cleanup({
    client,
    bucket,
    onFailure,
    ...log,
    ...(options.leftoversDir === undefined ? {} : { notes: new Notes({ dir: options.leftoversDir, ...options.leftoversDisk, ...log }) }),
    ...(options.isWanted === undefined ? {} : { isWanted: options.isWanted }),
    ...(options.isContinued === undefined ? {} : { isContinued: options.isContinued }),
    ...(options.isBusy === undefined ? {} : { isBusy: options.isBusy }),
    ...(options.removeHere === undefined ? {} : { removeHere: options.removeHere }),
  })
  const requests = new ReadRequests(createB2Client(options, hashes, FOR_READERS), redact, onFailure)
  const { close: closeWriter, ...writer } = createObjectWriter({ client, bucket, partBytes, concurrency, maxAttempts, hashes, redact, cleanup, onFailure, stallTimeoutMs, ackTimeoutMs, ...log })

  /** Requests that a client waits for. @throws {B2ReadError} */
  async function removing<Result> (outer: AbortSignal | undefined, work: (remover: Remover, signal: AbortSignal) => Promise<Result>): Promise<Result> {
    return await requests.within(outer, async signal => await work(new Remover({ client: requests.client, bucket, signal }), signal))
  }

  return {
    partBytes,
    unfinishedMaxAgeMs,
    concurrency,
    ackTimeoutMs,
    ...writer,
    ...createObjectReader(requests, bucket, (key, attempt) => attempt !== undefined && cleanup.isForgotten(key, attempt)),

    async remove (key) {
      await removing(undefined, async remover => await remover.removeObject(key, async () => true))
    },

    contend: async (contender, outer) => await removing(outer, async (remover, signal) => await contend(remover, contender, signal)),
    isContested: async (key, outer) => await removing(outer, async remover => isOpen(await remover.attempts(key))),

    forget: (key, correlationId, attempt) => cleanup.note({ kind: 'object', key, ...attemptMetadata(attempt), ...ofUpload(correlationId) }),
    forgetDeleted: (key, isUnclaimed, correlationId, attempt) => cleanup.note({
      kind: 'object', key, ...attemptMetadata(attempt), deleted: true, ...(isUnclaimed ? { unclaimed: true } : {}), ...ofUpload(correlationId),
    }),
    async end (key, uploadId) {
      await removing(undefined, async remover => await remover.abort({ key, uploadId }))
    },
    endLater: (key, uploadId, correlationId) => cleanup.note({ kind: 'upload', key, uploadId, mayComplete: true, ...ofUpload(correlationId) }),
    removeBelow: (key, correlationId) => cleanup.add({ kind: 'below', key, ...ofUpload(correlationId) }),
    noteBelow: (key, correlationId) => cleanup.note({ kind: 'below', key, ...ofUpload(correlationId) }),
    mayReturn: key => cleanup.mayReturn(key),
    settle: (key, mayHaveDoubles, correlationId, attempt) => cleanup.settle(key, mayHaveDoubles, correlationId, attempt),
    removeDoubles: (key, correlationId) => cleanup.add({ kind: 'doubles', key, ...ofUpload(correlationId) }),
    noteDoubles: (key, correlationId) => cleanup.note({ kind: 'doubles', key, ...ofUpload(correlationId) }),
    isForgotten: (key, attempt) => cleanup.isForgotten(key, attempt),
    isRemoving: key => cleanup.isRemoving(key),
    mayComplete: key => cleanup.mayComplete(key),
    hasLeftovers: (key, below) => cleanup.hasLeftovers(key, below),

    retryCleanup () {
      cleanup.retry()
      if (options.keyPrefix && unfinishedMaxAgeMs > 0) cleanup.sweepUnfinished(options.keyPrefix, unfinishedMaxAgeMs).catch(() => {})
    },

    async close () {
      requests.close()
      await closeWriter()
      await cleanup.close()
      client.destroy()
    },
  }
}

/** Names the upload that a leftover is of, for the log. */
function ofUpload (correlationId: string | undefined): { correlation_id?: string } {
  return correlationId === undefined ? {} : { correlation_id: correlationId }
}
