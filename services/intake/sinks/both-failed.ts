import type { LocalStoreError } from '../../local/errors.ts'
import type { FallbackReason } from '../../receipt.ts'
import { UploadError } from '../../upload-errors.ts'

/** @param reason why B2 failed; undefined if the service has no B2 */
export function bothFailed (reason: FallbackReason | undefined, error: LocalStoreError): UploadError {
  const local = `local storage: ${error.error_code} (${error.message})`
  const detail = reason === undefined ? local : `B2: ${reason.error_code} (${reason.detail}); ${local}`
  return new UploadError('storage_unavailable', detail, { cause: error })
}
