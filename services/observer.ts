import type { B2ErrorCode } from './b2/error-codes.ts'
import type { Receipt } from './receipt.ts'
import type { UploadErrorCode } from './upload-errors.ts'

/**
 * How a content request ended. Served: the client got what it asked for, if only headers. Failed: a store did not deliver the
 * file. Aborted: the client went away. Stalled: the client took nothing, and the service broke off.
 */
export type DownloadResult = 'served' | 'failed' | 'aborted' | 'stalled'

/** Learns of events, to count them. Its methods must not throw. */
export interface Observer {
  /** A file was stored. @param seconds since the beginning of its upload */
  stored (receipt: Receipt, seconds: number): void
  /** An upload was not stored, and is answered with this error. */
  failed (error_code: UploadErrorCode): void
  /** An upload was answered with the receipt of the file that it had stored before. */
  replayed (): void
  /** The client of an upload went away. */
  aborted (): void
  /** B2 failed a request, of whatever kind, after its retries. */
  b2Failed (error_code: B2ErrorCode): void
  /** A request for a file, or to store or remove one, is answered with this error. */
  refused (error_code: UploadErrorCode): void
  /** A content request ended. @param storage the one that had the file; none: it is not known */
  downloaded (storage: 'b2' | 'local' | 'split' | 'none', result: DownloadResult): void
  /** A deletion ended. */
  deleted (result: 'deleted' | 'failed'): void
  /** A try to promote a file ended. */
  promotionEnded (result: 'promoted' | 'failed' | 'set_aside'): void
  /** B2 does not have the acknowledged parts of a split file any more. */
  partsGone (): void
}
