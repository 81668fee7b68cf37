import type { Log } from '../log.ts'
import type { Observer } from '../observer.ts'
import { fallbackReason } from '../track.ts'
import type { Receipt } from '../track.ts'
import { ClientGoneError } from '../upload-errors.ts'
import type { UploadError } from '../upload-errors.ts'

/** Says how an upload ended: one line in the log, and once to the observer. */
export interface ClosingLines {
  stored (log: Log, receipt: Receipt, durationMs: number): void
  /** @param receivedBytes that came from the client */
  notStored (log: Log, error: UploadError | ClientGoneError, durationMs: number, receivedBytes: number): void
}

export function createClosingLines (observer: Observer | undefined): ClosingLines {
  return {
    stored (log, receipt, durationMs) {
      const { storage, location, track: { size_bytes } } = receipt
      const fields = { event: 'upload.stored', duration_ms: Math.round(durationMs), storage, location, size_bytes }
      const reason = fallbackReason(receipt)
      if (reason === undefined) log.info({ ...fields, fallback_from_b2: false }, 'stored')
      else log.warn({ ...fields, fallback_from_b2: true, fallback_reason: reason }, 'stored locally because B2 failed')
      observer?.stored(receipt, durationMs / 1_000)
    },

    notStored (log, error, durationMs, receivedBytes) {
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
    },
  }
}
