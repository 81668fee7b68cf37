import type { Log } from '../log.ts'
import type { Observer } from '../observer.ts'
import { fallbackReason } from '../receipt.ts'
import type { Receipt } from '../receipt.ts'
import { ClientGoneError, UploadError } from '../upload-errors.ts'

/** The one closing line of an upload, which also counts it: it was stored. */
export function logStored (log: Log, observer: Observer | undefined, receipt: Receipt, durationMs: number): void {
  const { storage, location, track: { size_bytes } } = receipt
  const fields = { event: 'upload.stored', duration_ms: Math.round(durationMs), storage, location, size_bytes }
  const reason = fallbackReason(receipt)
  if (reason === undefined) log.info({ ...fields, fallback_from_b2: false }, 'stored')
  else log.warn({ ...fields, fallback_from_b2: true, fallback_reason: reason }, storage === 'split' ? 'stored in parts, some in B2 and the others locally, because B2 failed' : 'stored locally because B2 failed')
  observer?.stored(receipt, durationMs / 1_000)
}

/** The same for one whose file had been stored before. */
export function logReplayed (log: Log, observer: Observer | undefined, { storage, location, track: { size_bytes } }: Receipt, durationMs: number): void {
  log.info({ event: 'upload.replayed', duration_ms: Math.round(durationMs), storage, location, size_bytes }, 'stored before, with the same Idempotency-Key')
  observer?.replayed()
}

/** The same for one that was not stored. @param receivedBytes that came from the client */
export function logNotStored (
  log: Log, observer: Observer | undefined, error: UploadError | ClientGoneError, durationMs: number, receivedBytes: number
): void {
  const fields = { duration_ms: Math.round(durationMs), size_bytes: receivedBytes }
  if (error instanceof ClientGoneError) {
    log.info({ event: 'upload.aborted', ...fields }, 'the client went away')
    observer?.aborted()
    return
  }
  const { error_code, message: detail, cause } = error
  const failed = { event: 'upload.failed', ...fields, error_code, detail }
  if (error.isClientFault) log.warn({ ...failed, ...(cause instanceof Error ? { reason: cause.message } : {}) }, 'upload refused')
  else log.error(cause === undefined ? failed : { ...failed, err: cause }, 'upload failed')
  observer?.failed(error_code)
}

/** A request that brought a piece of a file broke off. This is no closing line: the upload goes on. */
export function logInterrupted (
  log: Log, _observer: Observer | undefined, error: UploadError | ClientGoneError, durationMs: number, receivedBytes: number
): void {
  const reason = error instanceof UploadError ? { error_code: error.error_code, detail: error.message, ...(error.isClientFault ? {} : { err: error.cause }) } : {}
  log.info({ event: 'upload.interrupted', duration_ms: Math.round(durationMs), size_bytes: receivedBytes, ...reason }, 'a request of a resumable upload broke off')
}
