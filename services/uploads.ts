import type { Readable } from 'node:stream'
import { BufferPool } from './buffer-pool.ts'
import { b2Hints } from './b2/error-codes.ts'
import type { B2Store, Log } from './b2/store.ts'
import { CircuitBreaker } from './circuit-breaker.ts'
import type { CircuitFailure, CircuitState } from './circuit-breaker.ts'
import { ClientPace } from './client-pace.ts'
import { declaredContentType } from './content-type.ts'
import { baseName, newKey, uuidv7 } from './file-names.ts'
import { Intake, mostMemory, SourceError } from './intake.ts'
import type { LocalStore, LocalStoreStatus } from './local-store.ts'
import { MemoryAccount } from './memory-account.ts'
import { Transfer } from './transfer.ts'
import type { Receipt } from './track.ts'
import { ClientGoneError, UploadError } from './upload-errors.ts'

export interface UploadsOptions {
  /** The primary store; undefined for local-only mode. */
  readonly b2: B2Store | undefined
  readonly local: LocalStore
  readonly log: Log
  /** Put before every key. Default `tracks/`. */
  readonly keyPrefix?: string
  /** Largest accepted file, bytes. Default 1 GiB. */
  readonly maxBytes?: number
  /** Uploads at once; more are `overloaded`. Default 1000. */
  readonly maxConcurrent?: number
  /** Accepted media types, `audio/*` style wildcards allowed. Default any. */
  readonly allowedTypes?: readonly string[]
  /** Milliseconds without a byte after which an upload ends. Default 30,000. */
  readonly idleTimeoutMs?: number
  /** Bytes per second, averaged over `idleTimeoutMs`, below which an upload ends; 0 for no such rule. Default 1024. */
  readonly minRate?: number
  /** Replay window of one upload, bytes. Default 32 MiB. */
  readonly windowBytes?: number
  /** Bound on the bytes that all uploads hold in memory. Default 256 MiB; at least one window and two parts. */
  readonly memoryBudgetBytes?: number
  /** Uploads in a row whose B2 attempt failed that open the circuit; 0 for no breaker. Default 5. */
  readonly breakerThreshold?: number
  /** Milliseconds until one upload probes B2 again. Default 30,000. */
  readonly breakerResetMs?: number
}

/** What is known of a file besides its bytes. */
export interface FileInfo {
  /** The client's file name. */
  readonly filename?: string | undefined
  /** Declared media type; it counts where the bytes don't tell. */
  readonly contentType?: string | undefined
}

/** A file that is about to come in. */
export interface OpenedFile extends FileInfo {
  readonly stream: Readable
  /** No more than this many bytes can come, where that is known. */
  readonly expectedBytes?: number | undefined
  /** Waits for what follows the file in the request, and gives the text fields. */
  complete (): Promise<Record<string, string>>
  /** Says what a failure of `stream` means; by default it is a `malformed_upload`. */
  explain? (error: unknown): Error
}

/** One request to store a file. */
export interface UploadRequest {
  readonly correlationId: string
  /** Begins to read the request, up to its file. */
  open (): Promise<OpenedFile>
  /** Bytes that have come from the client so far, whatever they were; by default those of the file. */
  received? (): number
}

export interface UploadsStatus {
  readonly b2: { readonly state: CircuitState | 'disabled', readonly last_error: { error_code: string, detail: string } | null }
  readonly local: LocalStoreStatus
}

export interface Uploads {
  /** Takes a request's file in and stores it; writes the upload's closing log line. @throws {UploadError | ClientGoneError} */
  receive (request: UploadRequest): Promise<Receipt>
  /**
   * Stores what a stream gives.
   * @param info.metadata text fields kept with the file
   * @param info.size the most bytes that `source` will give, where that is known; more are an error
   * @throws {UploadError} where it was not stored; nothing of it is left then
   */
  store (source: Readable, info?: FileInfo & { metadata?: Record<string, string>, size?: number, correlationId?: string }): Promise<Receipt>
  /** Uploads under way. */
  readonly inFlight: number
  /** Bytes that uploads hold in memory. */
  readonly heldBytes: number
  /** State of both stores; no call to B2. */
  status (): Promise<UploadsStatus>
  /** Takes no more uploads, gives those under way `graceMs` to end, and ends the rest. */
  close (graceMs?: number): Promise<void>
}

/** An upload under way, as seen by those who may end it. */
interface Running {
  end (error: UploadError): void
}

/** @throws {RangeError} where the memory budget can't hold one window and two parts. */
export function createUploads (options: UploadsOptions): Uploads {
  const { b2, local, log } = options
  const keyPrefix = options.keyPrefix ?? 'tracks/'
  const maxBytes = options.maxBytes ?? 1_073_741_824 // 1 GiB
  const maxConcurrent = options.maxConcurrent ?? 1_000
  const idleTimeoutMs = options.idleTimeoutMs ?? 30_000
  const minRate = options.minRate ?? 1_024
  const windowBytes = options.windowBytes ?? 33_554_432 // 32 MiB
  const budgetBytes = options.memoryBudgetBytes ?? 268_435_456 // 256 MiB
  const partBytes = b2?.partBytes ?? 1_048_576
  if (budgetBytes < windowBytes + 2 * partBytes) {
    throw new RangeError('memoryBudgetBytes must be at least windowBytes and two parts')
  }

  const pool = new BufferPool(budgetBytes)
  const account = new MemoryAccount({
    budgetBytes,
    // A part stays free of it, for uploads that don't get all they need set aside.
    largestNeedBytes: Math.min(Math.max(windowBytes + partBytes, ((b2?.concurrency ?? 0) + 1) * partBytes), budgetBytes - partBytes),
  })
  const breaker = new CircuitBreaker({
    threshold: options.breakerThreshold ?? 5,
    resetMs: options.breakerResetMs ?? 30_000,
    onChange: logCircuit,
  })
  const stores = { b2, local, breaker, windowBytes, allowedTypes: options.allowedTypes ?? [] }
  const running = new Set<Running>()
  let closing = false
  let onIdle = (): void => {}

  function logCircuit (state: CircuitState, failure: CircuitFailure | null): void {
    const event = `breaker.${state}`
    if (state === 'closed') {
      log.info({ event }, 'B2 is well again')
      b2?.retryCleanup()
    } else if (state === 'half_open') {
      log.info({ event }, 'one upload tries B2')
    } else {
      log.warn({ event, error_code: failure?.error_code, detail: failure?.detail }, 'uploads go to local storage for now')
    }
  }

  /** @throws {UploadError} `overloaded` or `shutting_down`. */
  function assertAccepting (): void {
    if (closing) throw new UploadError('shutting_down', 'The service takes no new uploads.')
    if (running.size >= maxConcurrent) throw new UploadError('overloaded', `${maxConcurrent} uploads are under way already.`)
  }

  async function receive (request: UploadRequest): Promise<Receipt> {
    const started = performance.now()
    const { correlationId } = request
    let opened: OpenedFile | undefined
    let intake: Intake | undefined
    let endOpening: (error: UploadError) => void = () => {}
    const upload: Running = { end: error => intake === undefined ? endOpening(error) : intake.fail(error) }
    const pace = paceOf(upload, request.received ?? (() => intake?.received ?? 0))
    const line = (): object => ({ correlation_id: correlationId, duration_ms: Math.round(performance.now() - started) })
    try {
      assertAccepting()
      running.add(upload)
      try {
        pace.reading()
        opened = await Promise.race([request.open(), new Promise<never>((_resolve, reject) => { endOpening = reject })])
        const { expectedBytes } = opened
        const lease = account.open({
          need: expectedBytes === undefined ? Infinity : mostMemory(expectedBytes, partBytes),
          rate: () => pace.rate(),
          end: () => upload.end(new UploadError('overloaded', 'The upload was slow while others waited for its memory.')),
        })
        try {
          intake = new Intake({ stream: opened.stream, lease, pool, pace, maxBytes, ...(expectedBytes === undefined ? {} : { expectedBytes }) })
          const receipt = await transferOf(opened, intake, correlationId).run()
          logStored(line(), receipt)
          return receipt
        } finally {
          intake?.close()
          lease.close()
        }
      } finally {
        running.delete(upload)
        if (running.size === 0) onIdle()
      }
    } catch (caught) {
      const error = explain(caught, opened)
      logFailed({ ...line(), size_bytes: intake?.received ?? 0 }, error)
      throw error
    } finally {
      pace.stop()
    }
  }

  function paceOf (upload: Running, received: () => number): ClientPace {
    return new ClientPace({
      idleTimeoutMs,
      minRate,
      received,
      onStalled: reason => upload.end(new UploadError('upload_stalled', reason === 'idle'
        ? `Nothing came for ${idleTimeoutMs} ms.`
        : `Less than ${minRate} bytes a second came over ${idleTimeoutMs} ms.`)),
    })
  }

  function transferOf (opened: OpenedFile, intake: Intake, correlationId: string): Transfer {
    const id = uuidv7()
    const filename = baseName(opened.filename)
    return new Transfer(stores, {
      id,
      key: newKey(keyPrefix, id, filename),
      filename,
      declaredType: declaredContentType(opened.contentType),
      expectedBytes: opened.expectedBytes,
      complete: () => opened.complete(),
      onB2Failed: ({ error_code, detail, attempts, raw }) => log.warn({
        event: 'b2.failed', correlation_id: correlationId, error_code, detail, attempts, b2_says: raw, hints: b2Hints(error_code),
      }, 'B2 did not take the file'),
    }, intake)
  }

  function logStored (line: object, receipt: Receipt): void {
    const fields = { event: 'upload.stored', ...line, storage: receipt.storage, location: receipt.location, size_bytes: receipt.track.size_bytes }
    if (receipt.storage === 'local' && receipt.fallback_reason !== undefined) {
      log.warn({ ...fields, fallback_from_b2: true, fallback_reason: receipt.fallback_reason }, 'stored locally, since B2 failed')
    } else {
      log.info({ ...fields, fallback_from_b2: false }, 'stored')
    }
  }

  function logFailed (line: object, error: Error): void {
    if (error instanceof ClientGoneError) return log.info({ event: 'upload.aborted', ...line }, 'the client went away')
    const { error_code, message: detail, isClientFault } = error as UploadError
    const fields = { event: 'upload.failed', ...line, error_code, detail }
    if (isClientFault) return log.warn(fields, 'upload refused')
    log.error(error.cause === undefined ? fields : { ...fields, err: error.cause }, 'upload failed')
  }

  return {
    receive,

    async store (source, info = {}) {
      return await receive({
        correlationId: info.correlationId ?? uuidv7(),
        open: async () => ({
          ...info,
          stream: source,
          expectedBytes: info.size,
          complete: async () => info.metadata ?? {},
        }),
      })
    },

    get inFlight () { return running.size },

    get heldBytes () { return account.heldBytes },

    async status () {
      const { lastError } = breaker
      return {
        b2: {
          state: b2 === undefined ? 'disabled' : breaker.state,
          last_error: lastError === null ? null : { error_code: lastError.error_code, detail: lastError.detail },
        },
        local: await local.status(),
      }
    },

    async close (graceMs = 0) {
      closing = true
      if (running.size > 0) {
        const idle = new Promise<void>(resolve => { onIdle = resolve })
        const timer = setTimeout(() => {
          for (const upload of running) upload.end(new UploadError('shutting_down', 'The service is shutting down and the upload had not come to its end.'))
        }, graceMs)
        await idle
        clearTimeout(timer)
      }
      pool.clear()
    },
  }
}

function explain (caught: unknown, opened: OpenedFile | undefined): Error {
  const error = caught instanceof SourceError ? opened?.explain?.(caught.cause) ?? caught.cause : caught
  if (error instanceof UploadError || error instanceof ClientGoneError) return error
  if (caught instanceof SourceError) return new UploadError('malformed_upload', 'The source of the upload failed.', { cause: error })
  return new UploadError('internal_error', 'The upload failed because of an error in the service.', { cause: caught })
}
