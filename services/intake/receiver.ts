import { declaredContentType } from './content-type.ts'
import { logNotStored, logStored } from './closing-lines.ts'
import { Intake } from './intake.ts'
import type { IntakeOptions } from './intake.ts'
import { SourceError } from './source.ts'
import type { Source } from './source.ts'
import { FallbackTransfer } from './fallback-transfer.ts'
import type { TransferStores } from './fallback-transfer.ts'
import { baseName, newKey, uuidv7 } from '../keys.ts'
import type { UploadContext } from '../log.ts'
import type { Observer } from '../observer.ts'
import type { Receipt } from '../receipt.ts'
import { UnderWay } from '../tasks/under-way.ts'
import { untilAborted } from '../tasks/until-aborted.ts'
import { ClientGoneError, UploadError } from '../upload-errors.ts'

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
}

/** Takes files in. */
export interface Receiver {
  /** Stores a file, and writes the upload's closing log line. @throws {UploadError | ClientGoneError} */
  receive (source: Source, request: UploadRequest): Promise<Receipt>
  /** Writes the closing log line of an upload that was refused before it could begin. */
  refuse (context: Pick<UploadContext, 'log'>, error: UploadError, durationMs: number): void
  /** Uploads under way. */
  readonly inFlight: number
  /** Accepts no more uploads, gives those under way `graceMs` to complete, and aborts the rest. */
  close (graceMs: number): Promise<void>
}

/** Milliseconds that the host's callback has for a file that was stored after the grace was over. */
const HOOK_GRACE_MS = 1_000

interface Running {
  /** Can fail until all of the request has come; then only the stores decide. */
  readonly intake: Intake
  /** Fires when nobody waits for B2 and the host any longer. */
  readonly abort: AbortController
}

export function createReceiver (options: ReceiverOptions): Receiver {
  const { stores, observer, keyPrefix, maxConcurrent, onStored } = options
  const running = new UnderWay<Running>()
  let isClosed = false

  /** @throws {UploadError} `overloaded` or `shutting_down`. */
  function assertAccepting (): void {
    if (isClosed) throw new UploadError('shutting_down', 'The service accepts no new uploads.')
    if (running.size >= maxConcurrent) throw new UploadError('overloaded', `${maxConcurrent} uploads are under way already.`)
  }

  async function receive (source: Source, request: UploadRequest): Promise<Receipt> {
    const started = performance.now()
    const elapsedMs = (): number => performance.now() - started
    const upload: Running = { intake: new Intake(source, options), abort: new AbortController() }
    try {
      assertAccepting()
      running.add(upload)
      const receipt = await store(upload, source, request)
      logStored(request.log, observer, receipt, elapsedMs())
      await tellHost(receipt, request, upload.abort.signal)
      return receipt
    } catch (caught) {
      const error = explain(caught, source)
      logNotStored(request.log, observer, error, elapsedMs(), upload.intake.received)
      throw error
    } finally {
      running.done(upload)
    }
  }

  async function store ({ intake, abort }: Running, source: Source, context: UploadContext): Promise<Receipt> {
    try {
      await intake.open()
      const id = uuidv7()
      const filename = baseName(source.filename)
      const key = newKey(keyPrefix, id, filename)
      const file = { id, key, filename, declaredType: declaredContentType(source.contentType) }
      return await new FallbackTransfer(stores, intake, file, context, abort.signal).run()
    } finally {
      intake.close()
    }
  }

  /** Before the answer, so that the host knows of a file no later than its client. The file stays stored, whatever the host says. */
  async function tellHost (receipt: Receipt, { log, hostRequest }: UploadRequest, signal: AbortSignal): Promise<void> {
    const end = new AbortController()
    let timer: NodeJS.Timeout | undefined
    const onAbort = (): void => { timer = setTimeout(() => end.abort(signal.reason), HOOK_GRACE_MS) }
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort)
    try {
      await untilAborted(onStored(receipt, { request: hostRequest }), end.signal)
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

    refuse ({ log }, error, durationMs) {
      logNotStored(log, observer, error, durationMs, 0)
    },

    get inFlight () { return running.size },

    async close (graceMs) {
      isClosed = true
      await running.stop(graceMs, ({ intake, abort }) => {
        const error = new UploadError('shutting_down', 'The service is shutting down and the upload was not complete.')
        intake.fail(error)
        abort.abort(error)
      })
    },
  }
}

function explain (caught: unknown, source: Source): UploadError | ClientGoneError {
  const error = caught instanceof SourceError ? source.explain?.(caught.cause) ?? caught.cause : caught
  if (error instanceof UploadError || error instanceof ClientGoneError) return error
  if (caught instanceof SourceError) return new UploadError('malformed_upload', 'The source of the upload failed.', { cause: error })
  return new UploadError('internal_error', 'The upload failed because of an error in the service.', { cause: caught })
}
