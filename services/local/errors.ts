import { DiskTimeoutError, errnoOf } from '../disk/errors.ts'

export type LocalErrorCode = 'disk_full' | 'permission_denied' | 'io_error'

export interface LocalStoreErrorOptions {
  error_code: LocalErrorCode
  /** The system call that failed, such as `write`. */
  syscall?: string | undefined
  /** The errno name, such as `ENOSPC`. */
  code?: string | undefined
  cause?: unknown
}

/**
 * Why the local store failed. `message` is one sentence without a path, for answers; the raw error, path included, is its
 * `cause`.
 */
export class LocalStoreError extends Error {
  readonly error_code: LocalErrorCode
  declare readonly syscall?: string
  declare readonly code?: string
  /** True if the file was visible before the failure: a pass may have promoted it. */
  wasVisible = false
  /** True if the disk did not answer in time. */
  get isTimeout (): boolean { return this.cause instanceof DiskTimeoutError }

  constructor (message: string, options: LocalStoreErrorOptions) {
    super(message, options.cause === undefined ? {} : { cause: options.cause })
    this.name = 'LocalStoreError'
    this.error_code = options.error_code
    if (options.syscall !== undefined) this.syscall = options.syscall
    if (options.code !== undefined) this.code = options.code
  }
}

const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])
const FORBIDDEN = new Set(['EACCES', 'EPERM', 'EROFS'])

const REASONS: Record<LocalErrorCode, string> = {
  disk_full: 'there is no room left',
  permission_denied: 'permission was denied',
  io_error: 'the disk or file system reported an error'
}

/**
 * Turns whatever the file system threw into a LocalStoreError; a LocalStoreError is returned as it is.
 * @param what the start of the sentence, such as `The file could not be stored locally`
 */
export function toLocalStoreError (cause: unknown, what: string): LocalStoreError {
  if (cause instanceof LocalStoreError) return cause
  const code = errnoOf(cause)
  const syscall = cause instanceof Error ? (cause as NodeJS.ErrnoException).syscall : undefined
  const errorCode = codeOf(code)
  const facts = [syscall, code].filter(fact => fact !== undefined).join(' ')
  const reason = cause instanceof DiskTimeoutError ? `the disk or file system hangs, ${cause.message}` : REASONS[errorCode]
  const message = `${what}: ${reason}${facts === '' ? '' : ` (${facts})`}`
  return new LocalStoreError(message, { error_code: errorCode, syscall, code, cause })
}

function codeOf (errno: string | undefined): LocalErrorCode {
  if (errno === undefined) return 'io_error'
  if (FULL.has(errno)) return 'disk_full'
  if (FORBIDDEN.has(errno)) return 'permission_denied'
  return 'io_error'
}
