import type { Readable } from 'node:stream'
import { mostMemory } from '../memory/buffer-growth.ts'
import type { BufferPool } from '../memory/buffer-pool.ts'
import { b2Hints } from '../b2/error-codes.ts'
import { ClientPace } from './client-pace.ts'
import { createClosingLines } from './closing-lines.ts'
import { declaredContentType } from './content-type.ts'
import { baseName, newKey, uuidv7 } from '../file-names.ts'
import { Intake, SourceError } from './intake.ts'
import type { UploadContext } from '../log.ts'
import type { MemoryAccount } from '../memory/account.ts'
import type { Observer } from '../observer.ts'
import type { Receipt } from '../track.ts'
import { Transfer } from './transfer.ts'
import type { TransferStores } from './transfer.ts'
import { UnderWay } from '../tasks/under-way.ts'
import { untilAborted } from '../tasks/until-aborted.ts'
import { ClientGoneError, UploadError } from '../upload-errors.ts'

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
  /** Whether exactly `expectedBytes` must come, where these are known. Default false. */
  readonly isExact?: boolean
  /** Waits for what follows the file in the request, and gives the text fields. */
  complete (): Promise<Record<string, string>>
  /** Says what a failure of `stream` means; by default it is a `malformed_upload`. */
  explain? (error: unknown): Error
}

/** One request to store a file. */
export interface UploadRequest extends UploadContext {
  /** Begins to read the request, up to its file. */
  open (): Promise<OpenedFile>
  /** Bytes that have come from the client so far, whatever they were; by default those of the file. */
  received? (): number
  /** Of the host, for its `onStored`. */
  readonly hostRequest?: unknown
}

export interface ReceiverOptions {
  readonly stores: TransferStores
  readonly account: MemoryAccount
  readonly pool: BufferPool
  readonly observer?: Observer | undefined
  /** Bytes of a part. */
  readonly partBytes: number
  readonly keyPrefix: string
  readonly maxBytes: number
  readonly maxConcurrent: number
  readonly idleTimeoutMs: number
  readonly minRate: number
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
  /** Takes a request's file in and stores it; writes the upload's closing log line. @throws {UploadError | ClientGoneError} */
  receive (request: UploadRequest): Promise<Receipt>
  /** Writes the closing log line of an upload that was refused before it could begin. */
  refuse (context: Pick<UploadContext, 'log'>, error: UploadError, durationMs: number): void
  /** Uploads under way. */
  readonly inFlight: number
  /** Takes no more uploads, gives those under way `graceMs` to end, and ends the rest. */
  close (graceMs: number): Promise<void>
}

/** Milliseconds that the host's callback has for a file that was stored when the grace was over. */
const HOOK_GRACE_MS = 1_000

/** An upload under way, as seen by those who may end it. */
interface Running {
  /** Ends it unless the whole request has come: then nobody but the stores has a say any more. */
  end (error: UploadError): void
  /** Ends it, and what B2 is asked for it: nobody waits for B2 any longer. */
  cut (error: UploadError): void
}

export function createReceiver (options: ReceiverOptions): Receiver {
  const { stores, account, pool, observer, partBytes, keyPrefix, maxBytes, maxConcurrent, idleTimeoutMs, minRate, onStored } = options
  const running = new UnderWay<Running>()
  const closing = createClosingLines(observer)
  let isClosed = false

  /** @throws {UploadError} `overloaded` or `shutting_down`. */
  function assertAccepting (): void {
    if (isClosed) throw new UploadError('shutting_down', 'The service takes no new uploads.')
    if (running.size >= maxConcurrent) throw new UploadError('overloaded', `${maxConcurrent} uploads are under way already.`)
  }

  async function receive (request: UploadRequest): Promise<Receipt> {
    const started = performance.now()
    const { log } = request
    const elapsedMs = (): number => performance.now() - started
    let opened: OpenedFile | undefined
    let intake: Intake | undefined
    let receipt: Receipt
    let endOpening: (error: UploadError) => void = () => {}
    const cut = new AbortController()
    const upload: Running = {
      end: error => intake === undefined ? endOpening(error) : intake.fail(error),
      cut (error) {
        this.end(error)
        cut.abort(error)
      },
    }
    const pace = paceOf(upload, request.received ?? (() => intake?.received ?? 0))
    try {
      assertAccepting()
      running.add(upload)
      try {
        pace.reading()
        opened = await Promise.race([request.open(), new Promise<never>((_resolve, reject) => { endOpening = reject })])
        const { expectedBytes, isExact = false } = opened
        const lease = account.open({
          need: expectedBytes === undefined ? Infinity : mostMemory(expectedBytes, partBytes),
          rate: () => pace.rate(),
          end: () => upload.end(new UploadError('overloaded', 'The upload was slow while others waited for its memory.')),
        })
        try {
          intake = new Intake({ stream: opened.stream, lease, pool, pace, maxBytes, isExact, ...(expectedBytes === undefined ? {} : { expectedBytes }) })
          receipt = await transferOf(opened, intake, request, cut.signal).run()
        } finally {
          intake?.close()
          lease.close()
        }
        pace.stop()
        closing.stored(log, receipt, elapsedMs())
        await tellHost(receipt, request, cut.signal)
        return receipt
      } finally {
        running.done(upload)
      }
    } catch (caught) {
      const error = explain(caught, opened)
      closing.notStored(log, error, elapsedMs(), intake?.received ?? 0)
      throw error
    } finally {
      pace.stop()
    }
  }

  /** Before the answer, so that the host knows of a file by the time that its client does. What is stored is, whatever the host says. */
  async function tellHost (receipt: Receipt, { log, hostRequest }: UploadRequest, cut: AbortSignal): Promise<void> {
    const end = new AbortController()
    let timer: NodeJS.Timeout | undefined
    const onCut = (): void => { timer = setTimeout(() => end.abort(cut.reason), HOOK_GRACE_MS) }
    if (cut.aborted) onCut()
    cut.addEventListener('abort', onCut)
    try {
      await untilAborted(onStored(receipt, { request: hostRequest }), end.signal)
    } catch (err) {
      log.error({ event: 'hook.failed', hook: 'onStored', location: receipt.location, err },
        end.signal.aborted ? 'the host\'s onStored had not ended when the app had to close' : 'the host\'s onStored failed')
    } finally {
      cut.removeEventListener('abort', onCut)
      clearTimeout(timer)
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

  function transferOf (opened: OpenedFile, intake: Intake, context: UploadContext, cut: AbortSignal): Transfer {
    const id = uuidv7()
    const filename = baseName(opened.filename)
    return new Transfer(stores, {
      id,
      key: newKey(keyPrefix, id, filename),
      filename,
      declaredType: declaredContentType(opened.contentType),
      expectedBytes: opened.expectedBytes,
      context,
      cut,
      complete: () => opened.complete(),
      onB2Failed ({ error_code, detail, attempts, raw }) {
        context.log.warn({ event: 'b2.failed', error_code, detail, attempts, b2_says: raw, hints: b2Hints(error_code) }, 'B2 did not take the file')
      },
    }, intake)
  }

  return {
    receive,

    refuse ({ log }, error, durationMs) {
      closing.notStored(log, error, durationMs, 0)
    },

    get inFlight () { return running.size },

    async close (graceMs) {
      isClosed = true
      await running.drain(graceMs, upload => upload.cut(new UploadError('shutting_down', 'The service is shutting down and the upload had not come to its end.')))
    },
  }
}

function explain (caught: unknown, opened: OpenedFile | undefined): UploadError | ClientGoneError {
  const error = caught instanceof SourceError ? opened?.explain?.(caught.cause) ?? caught.cause : caught
  if (error instanceof UploadError || error instanceof ClientGoneError) return error
  if (caught instanceof SourceError) return new UploadError('malformed_upload', 'The source of the upload failed.', { cause: error })
  return new UploadError('internal_error', 'The upload failed because of an error in the service.', { cause: caught })
}
