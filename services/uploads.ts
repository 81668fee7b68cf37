import type { Readable } from 'node:stream'
import { BufferPool } from './memory/buffer-pool.ts'
import type { B2Store } from './b2/store.ts'
import { badOption } from './config/errors.ts'
import { withDefaults } from './config/options.ts'
import type { Settings } from './config/options.ts'
import { checkStoreArguments } from './intake/check-store-arguments.ts'
import { CircuitBreaker } from './circuit-breaker.ts'
import type { CircuitFailure, CircuitState } from './circuit-breaker.ts'
import { keyPrefixFault, uuidv7 } from './keys.ts'
import { createDownloads } from './downloads/downloads.ts'
import type { Downloads, DownloadsOptions } from './downloads/downloads.ts'
import type { LocalStore, LocalStoreStatus } from './local/store.ts'
import { withFields } from './log.ts'
import type { Log } from './log.ts'
import { MemoryAccount } from './memory/account.ts'
import type { Observer } from './observer.ts'
import { createPromoter } from './promotion/promoter.ts'
import type { Promoter } from './promotion/promoter.ts'
import { createReceiver } from './intake/receiver.ts'
import type { FileInfo, Source } from './intake/source.ts'
import type { Receiver, StoredContext } from './intake/receiver.ts'
import { createResumables } from './resumable/create-resumables.ts'
import type { ResumableService } from './resumable/create-resumables.ts'
import { Disk } from './resumable/stores/disk.ts'
import { Remote } from './resumable/stores/remote.ts'
import type { ResumableOptions } from './resumable/options.ts'
import { createStoredFiles } from './stored-files.ts'
import type { StoredFiles } from './stored-files.ts'
import type { FallbackReason, Receipt } from './receipt.ts'
import { UploadError } from './upload-errors.ts'

export type { FileInfo }

export interface UploadSettings {
  /** Put before every key. Default `tracks/`. */
  readonly keyPrefix?: string | undefined
  /** Largest accepted file, bytes. Default 1 GiB. */
  readonly maxBytes?: number | undefined
  /** Uploads at once; more are `overloaded`. Default 1000. */
  readonly maxConcurrent?: number | undefined
  /** Accepted media types, `audio/*` style wildcards allowed. Default any. */
  readonly allowedTypes?: readonly string[] | undefined
  /** Milliseconds without a byte after which an upload ends. Default 30,000. */
  readonly idleTimeoutMs?: number | undefined
  /** Bytes per second, averaged over `idleTimeoutMs`, below which an upload ends; 0 for no such rule. Default 1024. */
  readonly minRate?: number | undefined
  /** Bounds for content requests. */
  readonly downloads?: DownloadsOptions | undefined
  /** Uploads that are continued over several requests; false for none. */
  readonly resumable?: ResumableOptions | false | undefined
  /** Replay window of one upload, bytes. Default 32 MiB. */
  readonly windowBytes?: number | undefined
  /**
   * What becomes of an upload that B2 fails after its beginning was given up: `split` keeps the rest locally beside the parts that B2
   * has, until they are joined; `refuse` answers 503 `fallback_impossible`. Default `split`.
   */
  readonly fallbackBeyondWindow?: 'split' | 'refuse' | undefined
  /** Bound on the bytes that all uploads hold in memory. Default 256 MiB; at least one window and two parts. */
  readonly memoryBudgetBytes?: number | undefined
  /** Uploads in a row whose B2 attempt failed that open the circuit; 0 for no breaker. Default 5. */
  readonly breakerThreshold?: number | undefined
  /** Milliseconds until one upload, or one file of a promotion, probes B2 again. Default 30,000. */
  readonly breakerResetMs?: number | undefined
  /**
   * Milliseconds of pause between two passes that move files from local storage to B2; 0: none is moved but by
   * `promote()`. Default 60,000.
   */
  readonly promoteIntervalMs?: number | undefined
  /** Files that are moved at once, 1 to 32. Uploads come first. Default 4. */
  readonly promoteConcurrency?: number | undefined
  /** Milliseconds that uploads, downloads and promotions under way get when the app closes. Default 30,000. */
  readonly shutdownGraceMs?: number | undefined
  /**
   * Called with the receipt of each file that was stored, in B2 or locally, before the upload is answered: the client and
   * one of `maxConcurrent` wait for it, until the app closes. A failure is logged, and the file stays stored. It is called again, with
   * `isReplay`, for an upload that repeats its Idempotency-Key.
   */
  readonly onStored?: ((receipt: Receipt, context: StoredContext) => unknown) | undefined
  /**
   * Called at least once with the new receipt of each file that was promoted to B2, before the local copy is removed.
   * The pass waits for it, until the app closes. A failure is logged, and it is called again at the next pass.
   */
  readonly onPromoted?: ((receipt: Receipt) => unknown) | undefined
}

export interface UploadsOptions extends UploadSettings {
  /** The primary store; undefined for local-only mode. */
  readonly b2: B2Store | undefined
  readonly local: LocalStore
  readonly log: Log
  /** Is told of what is counted. */
  readonly observer?: Observer | undefined
  /** Whether it is for `promote({ dryRun: true })` alone: then nothing is tidied up. Default false. */
  readonly isDryRun?: boolean
  /** Rejects if the directory's files must not go to this bucket: then nothing is promoted. */
  readonly beforePass?: (() => Promise<unknown>) | undefined
}

/**
 * Files in local storage that are to be moved to B2, those set aside included; none in local-only mode. What this process
 * does counts at once, what others do on the same directory counts at the next reading of it.
 */
export interface UploadsWaiting {
  /** How many. */
  readonly files: number
  /** Bytes of them. */
  readonly bytes: number
  /** Seconds since the oldest was uploaded; 0 if there is none. */
  readonly oldestSeconds: number
  /** Whether all have been counted once; until then the numbers are what was counted so far. */
  readonly isCounted: boolean
}

/** How both stores are. */
export interface UploadsStatus {
  /** The primary store, as the last uploads found it. */
  readonly b2: {
    /** Of the circuit; `disabled` in local-only mode. */
    readonly state: CircuitState | 'disabled'
    /** The last failure of a write since the last success; null where there was none. */
    readonly last_error: FallbackReason | null
    /** Whether the next upload would try B2; it may be the probe of an open circuit. */
    readonly accepting: boolean
  }
  /** The local directory, measured now. */
  readonly local: LocalStoreStatus
  /**
   * Files in local storage that are to be moved to B2, those set aside included; 0 in local-only mode. Until all have been
   * counted once, as many as were counted so far.
   */
  readonly pending_promotions: number
  /** False from the moment on at which the app begins to close: uploads are `shutting_down`. */
  readonly accepting: boolean
}

/** What is known of a file that an app stores by itself. */
export interface StoreInfo extends FileInfo {
  /** Text fields kept with the file. Default none. */
  readonly metadata?: Record<string, string>
  /** The most bytes that the source will give, where that is known; more are an error. */
  readonly size?: number
  /** Ties the log lines of this upload together. Default: a new UUID. */
  readonly correlationId?: string
  /**
   * Makes each call with the same text (1 to 255 printable ASCII characters) one upload: a later one resolves with the receipt of the file that is
   * stored, whose stream is destroyed unread. What clients send as `Idempotency-Key` is apart from these. Default: each call is a new upload.
   */
  readonly idempotencyKey?: string
}

/** What an app can do with its files. */
export interface Uploads extends Pick<Receiver, 'inFlight'>, Pick<Promoter, 'promote'>, Pick<StoredFiles, 'receipt' | 'content' | 'remove'> {
  /**
   * Stores what a stream gives: bytes, or strings, which are stored as UTF-8. Other sources become one by `Readable.from(…)`
   * (buffers, iterables) or `Readable.fromWeb(…)` (the body of a fetch). `idleTimeoutMs` and `minRate` hold for it, too. Where
   * it fails the stream is destroyed, as `pipeline` would.
   * @throws {@link UploadError} where it was not stored; nothing of it is left then. `file_too_large`, too, for a file that the
   * form parser it comes from has cut off (`truncated`). With `idempotencyKey` also `upload_in_progress` and `idempotency_key_reused`
   * @throws TypeError for what is no stream, and for bad `info`
   */
  store (source: Readable, info?: StoreInfo): Promise<Receipt>
  /** Bytes that uploads and promotions hold in memory. */
  readonly heldBytes: number
  /** Those bytes, and what uploads will take within seconds at their present rates. */
  readonly committedBytes: number
  /** Uploads whose clients are not read for now, since memory is short. */
  readonly waitingForMemory: number
  /** Bound on the bytes held. */
  readonly budgetBytes: number
  /** What waits in local storage to be moved to B2. */
  readonly waiting: UploadsWaiting
  /** State of both stores; no call to B2. */
  status (): Promise<UploadsStatus>
}

/** The same for those who serve it. */
export interface UploadService extends Uploads, Pick<Receiver, 'receive' | 'receiveOnce' | 'refuse'>, Pick<StoredFiles, 'find'> {
  /** Those who read over HTTP. */
  readonly downloads: Downloads
  /** Uploads that are continued over several requests; undefined if they are turned off. */
  readonly resumables: ResumableService | undefined
  /** Is told what is counted. */
  readonly observer: Observer | undefined
  /** @param log for the line that says so; by default that of the app */
  remove (name: string, correlationId?: string, allows?: Parameters<StoredFiles['remove']>[2], log?: Log): Promise<void>
  /** Takes no more uploads, gives what is under way `graceMs` to end, and ends the rest. */
  close (graceMs?: number): Promise<void>
}

/** @throws {TypeError} where the memory budget can't hold one window and two parts, or `keyPrefix` is no relative path. */
export function createUploads (options: UploadsOptions & Settings<''>): UploadService {
  const { b2, local, log, observer, keyPrefix, windowBytes, memoryBudgetBytes: budgetBytes } = options
  const fault = keyPrefixFault(keyPrefix)
  if (fault !== undefined) throw badOption('keyPrefix', fault)
  const partBytes = b2?.partBytes ?? 1_048_576
  if (budgetBytes < windowBytes + 2 * partBytes) {
    throw badOption('memoryBudgetBytes', `at least windowBytes and two parts: ${windowBytes + 2 * partBytes}`)
  }

  const pool = new BufferPool(budgetBytes)
  const account = new MemoryAccount({ budgetBytes, windowBytes, partBytes, givesBackEarly: options.fallbackBeyondWindow === 'split' })
  const breaker = new CircuitBreaker({ threshold: options.breakerThreshold, resetMs: options.breakerResetMs, onChange: onCircuitChange })
  const promoter = createPromoter({ ...options, breaker, account, pool, intervalMs: options.promoteIntervalMs, concurrency: options.promoteConcurrency })
  const receiver = createReceiver({
    ...options,
    stores: { b2, local, breaker, windowBytes, beyondWindow: options.fallbackBeyondWindow, join: promoter.join, allowedTypes: options.allowedTypes },
    account,
    pool,
    partBytes,
    async onStored (receipt, context) { await options.onStored?.(receipt, context) },
  })
  const { maxAgeMs } = withDefaults('resumable', options.resumable === false ? { maxAgeMs: 0 } : options.resumable ?? {})
  const stored = createStoredFiles({ b2, local, keyPrefix, promoter })
  const resumables = maxAgeMs === 0
    ? undefined
    : createResumables({
      stores: {
        b2,
        local,
        disk: new Disk(local),
        remote: b2 && new Remote(b2, keyPrefix),
        breaker,
        windowBytes,
        beyondWindow: options.fallbackBeyondWindow,
        allowedTypes: options.allowedTypes,
        join: promoter.join,
        intake: { ...options, account, pool, partBytes },
      },
      receiver,
      stored,
      keyPrefix,
      maxAgeMs,
      log,
    })
  let accepting = true
  promoter.start()
  if (!options.isDryRun) resumables?.start()

  function onCircuitChange (state: CircuitState, failure: CircuitFailure | null, own = log): void {
    const event = `breaker.${state}`
    if (state === 'closed') {
      own.info({ event }, 'B2 has recovered')
      b2?.retryCleanup()
      promoter.wake()
      resumables?.wake()
    } else if (state === 'half_open') {
      own.info({ event }, 'one file tries B2')
    } else {
      own.warn({ event, error_code: failure?.error_code, detail: failure?.detail }, 'uploads go to local storage for now')
    }
  }

  return {
    receive: receiver.receive,
    receiveOnce: receiver.receiveOnce,
    refuse: receiver.refuse,
    promote: promoter.promote,
    find: stored.find,
    receipt: stored.receipt,
    content: stored.content,
    resumables,
    downloads: createDownloads(withDefaults('downloads', options.downloads ?? {}), observer),
    observer,

    async remove (name, correlationId, allows, own = correlationId === undefined ? log : withFields(log, { correlation_id: correlationId })) {
      try {
        await stored.remove(name, correlationId, allows)
      } catch (error) {
        if (!(error instanceof UploadError && error.isClientFault)) observer?.deleted('failed')
        throw error
      }
      own.info({ event: 'file.deleted', name }, 'deleted')
      observer?.deleted('deleted')
    },

    async store (source, info = {}) {
      checkStoreArguments(source, info)
      const correlationId = info.correlationId ?? uuidv7()
      const request = { correlationId, log: withFields(log, { correlation_id: correlationId }) }
      const file: Source = {
        stream: source,
        filename: info.filename,
        contentType: info.contentType,
        expectedBytes: info.size,
        complete: async () => ({ ...info.metadata }),
      }
      try {
        if (info.idempotencyKey === undefined) return await receiver.receive(file, request)
        const { receipt, isReplay } = await receiver.receiveOnce(file, request, { caller: null, idempotencyKey: info.idempotencyKey })
        if (isReplay) source.destroy()
        return receipt
      } catch (error) {
        source.destroy()
        throw error
      }
    },

    get inFlight () { return receiver.inFlight },

    get heldBytes () { return account.heldBytes },

    get committedBytes () { return account.committedBytes },

    get waitingForMemory () { return account.waiting },

    budgetBytes,

    get waiting () {
      const { files, bytes, oldest, isCounted } = promoter.waiting
      return { files, bytes, oldestSeconds: oldest === undefined ? 0 : Math.max(0, (Date.now() - oldest) / 1_000), isCounted }
    },

    async status () {
      const { lastError } = breaker
      return {
        b2: {
          state: b2 === undefined ? 'disabled' : breaker.state,
          last_error: lastError === null ? null : { error_code: lastError.error_code, detail: lastError.detail },
          accepting: b2 !== undefined && breaker.canAcquire(true),
        },
        local: await local.status(),
        pending_promotions: promoter.waiting.files,
        accepting,
      }
    },

    async close (graceMs = 0) {
      accepting = false
      await Promise.all([receiver.close(graceMs), promoter.close(graceMs), stored.close(graceMs), resumables?.close()])
      pool.clear()
    },
  }
}
