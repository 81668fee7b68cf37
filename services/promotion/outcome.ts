import { b2Hints } from '../b2/error-codes.ts'
import type { B2ErrorCode } from '../b2/error-codes.ts'
import { B2ReadError } from '../b2/read-requests.ts'
import type { B2UploadFailure } from '../b2/store.ts'
import { toLocalStoreError } from '../local/errors.ts'
import type { LocalErrorCode } from '../local/errors.ts'

/** How the promotion of one file ended. */
export type PromotionOutcome =
  | { readonly kind: 'promoted' }
  /** It was deleted meanwhile, or another process has promoted it. */
  | { readonly kind: 'gone' }
  /** It is left to a later pass. */
  | { readonly kind: 'skipped', readonly detail: string }
  /** Another process is promoting it. */
  | { readonly kind: 'elsewhere' }
  /** It was stopped, and can continue later. */
  | { readonly kind: 'stopped' }
  /** The circuit is open: no file can be promoted now. */
  | { readonly kind: 'blocked' }
  /** No pass tries it any more. It has a code if this pass set it aside. */
  | { readonly kind: 'set_aside', readonly detail: string, readonly error_code?: PromotionErrorCode, readonly more?: object }
  | PromotionFailed

export type PromotionErrorCode = B2ErrorCode | LocalErrorCode | 'hook_failed' | 'parts_gone' | 'another_file'

export interface PromotionFailed {
  readonly kind: 'failed'
  /** Whose failure it is. B2's ends the pass, the file's own is counted; after the host's, or that of a disk that hangs, each pass tries again. */
  readonly fault: 'b2' | 'file' | 'host' | 'disk'
  readonly error_code: PromotionErrorCode
  /** One sentence of ours. */
  readonly detail: string
  /** More for the log. */
  readonly more?: object
}

/** The circuit is open. */
export class CircuitOpen extends Error {}

/** The file is not what was acknowledged to the client: promoting it would hide the damage. */
export class DamagedFile extends Error {}

/** B2 does not have the acknowledged parts of a split file any more: somebody ended its upload. */
export class PartsGone extends Error {}

/** B2 has another file under this key, which another process has taken with the same Idempotency-Key. */
export class AnotherFile extends Error {
  constructor () {
    super('B2 has another file under this key, which came with the same Idempotency-Key')
  }
}

/** B2 acknowledged the file, but shows another one, or none, perhaps not yet. */
export class Unverified extends Error {
  constructor (message = 'B2 took the file, but does not show it with the right size and sha256') {
    super(message)
  }
}

/** The host's callback failed. */
export class HookFailed extends Error {
  constructor (cause: unknown) {
    super('onPromoted failed', { cause })
  }
}

/** A write to B2 failed. */
export class WriteFailed extends Error {
  readonly failure: B2UploadFailure

  constructor (failure: B2UploadFailure) {
    super(failure.detail)
    this.failure = failure
  }
}

const PARTS_GONE_HINTS = [
  'Check the bucket\'s lifecycle rule: it must not end unfinished uploads before B2_UNFINISHED_MAX_AGE_MS. Check that no older version of this service uses the bucket.',
  'What B2 had of the file is lost. Ask its sender for the file again, then delete this one.',
]

const ANOTHER_FILE_HINTS = [
  'A client used one Idempotency-Key for two files while B2 could not be asked, or sent the file twice and it differs. Both are kept: this one in local storage, under its name.',
  'Decide which one is right. Copy this one out of LOCAL_STORAGE_DIR before you DELETE its name, as that removes both.',
]

/** The outcome of a promotion that ended with this error. */
export function outcomeOf (error: unknown): PromotionOutcome {
  if (error instanceof CircuitOpen) return { kind: 'blocked' }
  if (error instanceof DamagedFile) return { kind: 'set_aside', detail: error.message, error_code: 'checksum_mismatch' }
  if (error instanceof PartsGone) return { kind: 'set_aside', detail: error.message, error_code: 'parts_gone', more: { hints: PARTS_GONE_HINTS } }
  if (error instanceof AnotherFile) return { kind: 'set_aside', detail: error.message, error_code: 'another_file', more: { hints: ANOTHER_FILE_HINTS } }
  if (error instanceof Unverified) {
    return { kind: 'failed', fault: 'file', error_code: 'checksum_mismatch', detail: error.message }
  }
  if (error instanceof HookFailed) {
    return { kind: 'failed', fault: 'host', error_code: 'hook_failed', detail: 'The host\'s onPromoted failed', more: { err: error.cause } }
  }
  if (error instanceof WriteFailed) {
    const { error_code, detail, raw, attempts, weight } = error.failure
    return { kind: 'failed', fault: faultOf(weight), error_code, detail, more: { attempts, b2_says: raw, hints: b2Hints(error_code) } }
  }
  if (error instanceof B2ReadError) {
    const { error_code, detail, raw, weight } = error
    const hints = error_code === 'access_denied'
      ? ['Promotion looks at what it stored before it removes the local file: give the key the capability readFiles, too.']
      : b2Hints(error_code)
    return { kind: 'failed', fault: faultOf(weight), error_code, detail, more: { b2_says: raw, hints } }
  }
  const err = toLocalStoreError(error, 'The file could not be promoted')
  const fault = err.isTimeout ? 'disk' : 'file'
  return { kind: 'failed', fault, error_code: err.error_code, detail: err.message, more: { err } }
}

function faultOf (weight: 'hard' | 'soft' | 'none'): 'b2' | 'file' {
  return weight === 'none' ? 'file' : 'b2'
}
