import { declaredContentType } from './content-type.ts'
import { logInterrupted, logNotStored, logReplayed, logStored } from './closing-lines.ts'
import { Intake } from './intake.ts'
import type { IntakeOptions } from './intake.ts'
import { SourceError } from './source.ts'
import type { Source } from './source.ts'
import { FallbackTransfer } from './fallback-transfer.ts'
import type { TransferStores } from './fallback-transfer.ts'
import { KeyTaken } from '../idempotency/key-taken.ts'
import { KeyedUploads, taken } from '../idempotency/keyed-uploads.ts'
import type { UploadKey } from '../idempotency/keyed-uploads.ts'
import type { IncomingFile } from './track-builder.ts'
import { baseName, keyedUuid, newKey, uuidv7 } from '../keys.ts'
import type { UploadContext } from '../log.ts'
import type { Observer } from '../observer.ts'
import type { Receipt } from '../receipt.ts'
import { UnderWay } from '../tasks/under-way.ts'
import { untilAborted } from '../tasks/until-aborted.ts'
import { ClientGoneError, UploadError } from '../upload-errors.ts'
import type { UploadErrorCode } from '../upload-errors.ts'

/** What an upload belongs to. */
export interface UploadRequest extends UploadContext {
  /** Of the host, for its `onStored`. */
  readonly hostRequest?: unknown
}

export interface ReceiverOptions extends IntakeOptions {
  readonly stores: TransferStores
  readonly observer?: Observer | undefined
  readonly keyPrefix: string
  readonly maxConcurrent: number
  /** Called with each receipt, before it is given out; a failure is logged. */
  onStored (receipt: Receipt, context: StoredContext): unknown
}

/** What is known of an upload beside its receipt. */
export interface StoredContext {
  /** The request that brought it; undefined for `store()`. */
  readonly request: unknown
  /** True if the file had been stored before, with the same Idempotency-Key: the process may have been killed before it could say so. */
  readonly isReplay?: boolean
}

/** The bytes of one request on their way into the stores. */
export interface Work {
  /** Bytes that came. */
  readonly received: number
  /** Whether the receipt is that of a file which had been stored before. */
  readonly isReplay?: boolean
  /** Milliseconds that it needs to store what came, once it was ended. Default: nothing is kept. */
  readonly keepMs?: number
  /** Ends it; without effect once all of the request has come: then only the stores decide. */
  fail (error: unknown): void
  /** Gives the receipt if all of the file has come. */
  run (): Promise<Receipt | undefined>
}

/** The end of an upload that its client may have sent before. */
export interface ReceivedOnce {
  readonly receipt: Receipt
  /** Whether the file had been stored before: then nothing of it was read. */
  readonly isReplay: boolean
}

/** Takes files in. */
export interface Receiver {
  /** Stores a file, and writes the upload's closing log line. @param id of the file; by default a new one @throws {UploadError | ClientGoneError} */
  receive (source: Source, request: UploadRequest, id?: string): Promise<Receipt>
  /**
   * The same for an upload that its client may send several times: all of them are one file.
   * @throws {UploadError | ClientGoneError} also `upload_in_progress`, `idempotency_key_reused`
   */
  receiveOnce (source: Source, request: UploadRequest, key: UploadKey): Promise<ReceivedOnce>
  /**
   * Has a piece of a file taken in by `begin`'s work, like an upload of its own. If that gives a receipt, the file is complete, and it writes the closing
   * line; a request that breaks off has a line of its own.
   * @throws {UploadError | ClientGoneError}
   */
  append (source: Source, request: UploadRequest, begin: (signal: AbortSignal) => Work): Promise<Receipt | undefined>
  /** Writes the closing log line of an upload that was refused before it could begin. */
  refuse (context: Pick<UploadContext, 'log'>, error: UploadError, durationMs: number): void
  /** @throws {UploadError} `overloaded` or `shutting_down` if it takes no more now */
  assertAccepting (): void
  /** Uploads under way. */
  readonly inFlight: number
  /** Accepts no more uploads, gives those under way `graceMs` to complete, and aborts the rest. */
  close (graceMs: number): Promise<void>
}

/** Milliseconds that the host's callback has for a file that was stored after the grace was over. */
const HOOK_GRACE_MS = 1_000

/** What ends an upload that might have been continued. */
export const ENDING: ReadonlySet<UploadErrorCode> = new Set(['unsupported_media_type', 'digest_mismatch', 'fallback_impossible'])

interface Running {
  readonly work: Work
  /** Fires when nobody waits for B2 and the host any longer. */
  readonly abort: AbortController
}

export function createReceiver (options: ReceiverOptions): Receiver {
  const { stores, observer, keyPrefix, maxConcurrent, onStored } = options
  const running = new UnderWay<Running>()
  const keyed = new KeyedUploads(stores)
  let isClosed = false

  /** @throws {UploadError} `overloaded` or `shutting_down`. */
  function assertAccepting (): void {
    if (isClosed) throw new UploadError('shutting_down', 'The service accepts no new uploads.')
    if (running.size >= maxConcurrent) throw new UploadError('overloaded', `${maxConcurrent} uploads are under way already.`)
  }

  /** @param isKept whether what came of an upload that breaks off is kept */
  async function conduct (source: Source, request: UploadRequest, begin: (signal: AbortSignal) => Work, isKept: (error: Error) => boolean): Promise<Receipt | undefined> {
    const started = performance.now()
    const elapsedMs = (): number => performance.now() - started
    const abort = new AbortController()
    const upload: Running = { work: begin(abort.signal), abort }
    try {
      assertAccepting()
      running.add(upload)
      const receipt = await upload.work.run()
      if (receipt === undefined) return undefined
      if (upload.work.isReplay === true) {
        logReplayed(request.log, observer, receipt, elapsedMs())
        await tellHost(receipt, request, abort.signal, true)
        return receipt
      }
      logStored(request.log, observer, receipt, elapsedMs())
      await tellHost(receipt, request, abort.signal)
      return receipt
    } catch (caught) {
      const error = explain(caught, source)
      const log = isKept(error) ? logInterrupted : logNotStored
      log(request.log, observer, error, elapsedMs(), upload.work.received)
      throw error
    } finally {
      running.done(upload)
    }
  }

  /** @param decide what becomes of a file that may be stored already */
  function taking (source: Source, request: UploadRequest, id: string, signal: AbortSignal, decide?: (file: IncomingFile) => Promise<Receipt | IncomingFile>): Work {
    const intake = new Intake(source, options)
    let stored: Receipt | undefined
    return {
      get received () { return intake.received },
      get isReplay () { return stored !== undefined },
      fail: intake.fail,
      async run () {
        let decided: IncomingFile | undefined
        try {
          await intake.open(decide === undefined
            ? undefined
            : async () => {
              const found = await decide(fileOf(source, id))
              if ('track' in found) stored = found
              else decided = found
              return stored === undefined
            })
          return stored ?? await new FallbackTransfer(stores, intake, decided ?? fileOf(source, id), request, signal).run()
        } finally {
          intake.close()
        }
      },
    }
  }

  function fileOf ({ filename: given, contentType }: Source, id: string): IncomingFile {
    const filename = baseName(given)
    return { id, key: newKey(keyPrefix, id, filename), filename, declaredType: declaredContentType(contentType) }
  }

  async function receive (source: Source, request: UploadRequest, id = uuidv7()): Promise<Receipt> {
    return (await conduct(source, request, signal => taking(source, request, id, signal), () => false))!
  }

  async function receiveOnce (source: Source, request: UploadRequest, { caller, idempotencyKey, size }: UploadKey): Promise<ReceivedOnce> {
    const id = keyedUuid(caller, idempotencyKey)
    let work: Work | undefined
    let release = (): void => {}
    const begin = (signal: AbortSignal): Work => {
      work = taking(source, request, id, signal, async file => {
        release = keyed.hold(id)
        return await keyed.find(file, size, signal)
      })
      return work
    }
    try {
      const receipt = await conduct(source, request, begin, () => false)
      return { receipt: receipt!, isReplay: work!.isReplay! }
    } finally {
      release()
    }
  }

  /** Before the answer, so that the host knows of a file no later than its client. The file stays stored, whatever the host says. */
  async function tellHost (receipt: Receipt, { log, hostRequest }: UploadRequest, signal: AbortSignal, isReplay = false): Promise<void> {
    const end = new AbortController()
    let timer: NodeJS.Timeout | undefined
    const onAbort = (): void => { timer = setTimeout(() => end.abort(signal.reason), HOOK_GRACE_MS) }
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort)
    try {
      await untilAborted(onStored(receipt, { request: hostRequest, ...(isReplay ? { isReplay } : {}) }), end.signal)
    } catch (err) {
      log.error({ event: 'hook.failed', hook: 'onStored', location: receipt.location, err },
        end.signal.aborted ? 'the host\'s onStored was still running when the app had to close' : 'the host\'s onStored failed')
    } finally {
      signal.removeEventListener('abort', onAbort)
      clearTimeout(timer)
    }
  }

  return {
    receive,
    receiveOnce,
    assertAccepting,

    async append (source, request, begin) {
      return await conduct(source, request, begin, error => !(error instanceof UploadError && ENDING.has(error.error_code)))
    },

    refuse ({ log }, error, durationMs) {
      logNotStored(log, observer, error, durationMs, 0)
    },

    get inFlight () { return running.size },

    async close (graceMs) {
      isClosed = true
      await running.stop(graceMs, ({ work, abort }) => {
        const error = new UploadError('shutting_down', 'The service is shutting down and the upload was not complete.')
        work.fail(error)
        // B2 is the better place for it, as another instance can go on from there.
        if (work.keepMs === undefined) abort.abort(error)
        else setTimeout(() => abort.abort(error), work.keepMs).unref()
      })
    },
  }
}

function explain (caught: unknown, source: Source): UploadError | ClientGoneError {
  const error = caught instanceof SourceError ? source.explain?.(caught.cause) ?? caught.cause : caught
  if (error instanceof UploadError || error instanceof ClientGoneError) return error
  if (caught instanceof KeyTaken) return taken()
  if (caught instanceof SourceError) return new UploadError('malformed_upload', 'The source of the upload failed.', { cause: error })
  return new UploadError('internal_error', 'The upload failed because of an error in the service.', { cause: caught })
}
