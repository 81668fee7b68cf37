import { B2ReadError } from '../../b2/read-requests.ts'
import type { B2Store, B2UploadFailure, Contender } from '../../b2/store.ts'
import { KeyTaken } from '../../idempotency/key-taken.ts'

/**
 * Makes sure that an object which is stored is the only one of its key.
 * @returns why that can't be told, which is like any failure of B2: the file is stored elsewhere, and promotion decides
 * @throws {KeyTaken} if it is not; then it is removed
 */
export async function win (b2: B2Store, contender: Contender, signal: AbortSignal): Promise<B2UploadFailure | undefined> {
  try {
    if (await b2.contend(contender, signal)) return undefined
  } catch (error) {
    if (error instanceof B2ReadError) {
      const { error_code, detail, raw, weight, retryable } = error
      return { ok: false, error_code, detail, raw, weight, retryable, attempts: 1, mayBeStored: true }
    }
    if (!signal.aborted) throw error
    const detail = 'The upload was aborted'
    return { ok: false, error_code: 'unknown_error', detail, raw: detail, weight: 'none', retryable: false, attempts: 1, mayBeStored: true }
  }
  throw new KeyTaken()
}
