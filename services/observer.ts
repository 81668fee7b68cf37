import type { B2ErrorCode } from './b2/error-codes.ts'
import type { Receipt } from './receipt.ts'
import type { UploadErrorCode } from './upload-errors.ts'

/**
 * How a content request ended. Served: the client got what it asked for, if only headers. Failed: a store did not deliver the
 * file. Aborted: the client went away. Stalled: the client took nothing, and the service broke off.
 */
export type DownloadResult = 'served' | 'failed' | 'aborted' | 'stalled'

/** Is told of what is counted, as it happens. None of its methods may throw. */
export interface Observer {
  /** A file was stored. @param seconds from the beginning of its upload */
  stored (receipt: Receipt, seconds: number): void
  /** An upload was not stored, and is answered with this error. */
  failed (error_code: UploadErrorCode): void
  /** The client of an upload went away. */
  aborted (): void
  /** B2 failed with this, whatever was asked of it, after its retries. */
  b2Failed (error_code: B2ErrorCode): void
  /** A request for a file, or to store or remove one, is answered with this error. */
  refused (error_code: UploadErrorCode): void
  /** A content request ended. @param storage that had the file; none: it was not found out */
  downloaded (storage: 'b2' | 'local' | 'none', result: DownloadResult): void
  /** A deletion ended. */
  deleted (result: 'deleted' | 'failed'): void
  /** A try to move a file to B2 ended. */
  promotionEnded (result: 'promoted' | 'failed' | 'set_aside'): void
}
