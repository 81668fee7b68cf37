/**
 * The errors of uploads, reads and deletions, by the stable `error_code` that answers and logs carry.
 */

interface Kind {
  readonly status: number
  readonly error: string
  readonly hints: readonly string[]
  /** Seconds after which a client may try again. */
  readonly retryAfter?: number
}

const KINDS = {
  missing_file: {
    status: 400,
    error: 'The request has no file.',
    hints: ['Send exactly one file part, for example: curl -F file=@song.mp3 …'],
  },
  too_many_files: {
    status: 400,
    error: 'The request has more than one file.',
    hints: ['Send each file in a separate request.'],
  },
  malformed_upload: {
    status: 400,
    error: 'The request body could not be read.',
    hints: ['Check that the body is complete multipart/form-data and that its boundary is the one in the content type.'],
  },
  invalid_request: {
    status: 400,
    error: 'The request is not valid.',
    hints: ['Correct what the detail names, then send the request again.'],
  },
  digest_mismatch: {
    status: 400,
    error: 'The file does not match its digest.',
    hints: ['Upload the file again: bytes of it were changed on the way, or the digest is that of another file. Nothing of this upload was kept.'],
  },
  unauthorized: {
    status: 401,
    error: 'The request needs a valid API key.',
    hints: ['Send the header "Authorization: Bearer <API key>".'],
  },
  forbidden: {
    status: 403,
    error: 'The API key does not allow this.',
    hints: ['Use a key with the scope that the detail names, or ask the operators to add it to this key in API_KEYS.'],
  },
  not_found: {
    status: 404,
    error: 'There is nothing at this address.',
    hints: ['Check the path and the method.'],
  },
  upload_stalled: {
    status: 408,
    error: 'The upload was too slow and was stopped.',
    hints: ['Check the connection, then upload the file again.'],
  },
  upload_in_progress: {
    status: 409,
    error: 'Another request is storing this upload.',
    hints: ['Send the request again after the time in Retry-After.'],
    retryAfter: 2,
  },
  precondition_failed: {
    status: 412,
    error: 'A condition of the request is not met.',
    hints: ['Read the file\'s present state, then send a request with conditions that match it.'],
  },
  file_too_large: {
    status: 413,
    error: 'The file is too large.',
    hints: ['Send a smaller file, or ask the operators to raise UPLOAD_MAX_BYTES.'],
  },
  unsupported_media_type: {
    status: 415,
    error: 'This type of content is not accepted.',
    hints: ['POST /uploads takes multipart/form-data; for a plain body use PUT /uploads/{name}. The service may also accept certain file types only.'],
  },
  range_not_satisfiable: {
    status: 416,
    error: 'The requested range is not in the file.',
    hints: ['Request bytes that are within the file.'],
  },
  idempotency_key_reused: {
    status: 422,
    error: 'This Idempotency-Key belongs to another file.',
    hints: ['Make a new key for each file. Send the same key again only with the same file, under the same name.'],
  },
  too_many_requests: {
    status: 429,
    error: 'Too many uploads from this address.',
    hints: ['Wait for the time in Retry-After.'],
    retryAfter: 60,
  },
  storage_unavailable: {
    status: 503,
    error: 'Neither store could take the file.',
    hints: ['Upload the file again later; nothing of this upload was kept.'],
    retryAfter: 10,
  },
  fallback_impossible: {
    status: 503,
    error: 'B2 failed in the middle of a large upload.',
    hints: ['Upload the file again now: it will go to a store that works. Nothing of this upload was kept.'],
    retryAfter: 1,
  },
  overloaded: {
    status: 503,
    error: 'The service is busy with too many uploads.',
    hints: ['Upload the file again after the time in Retry-After.'],
    retryAfter: 5,
  },
  shutting_down: {
    status: 503,
    error: 'The service is shutting down.',
    hints: ['Upload the file again after the time in Retry-After: another instance or the restarted service will take it.'],
    retryAfter: 5,
  },
  internal_error: {
    status: 500,
    error: 'Something went wrong inside the service.',
    hints: ['Report the correlation id to the operators.'],
  },
} as const satisfies Record<string, Kind>

/** Stable codes of errors, for programs. */
export type UploadErrorCode = keyof typeof KINDS

/** All codes, in the order in which the API describes them. */
export const UPLOAD_ERROR_CODES = Object.keys(KINDS) as UploadErrorCode[]

/** Those that are answered with a status. */
export function codesOf (status: number): UploadErrorCode[] {
  return UPLOAD_ERROR_CODES.filter(code => KINDS[code].status === status)
}

/** An error that is answered as it is. `message` is the detail: what happened, in words fit for the client. @hideconstructor */
export class UploadError extends Error {
  override readonly name = 'UploadError'
  /** For programs. */
  readonly error_code: UploadErrorCode
  /** The same, under the name that Fastify's own errors have it under. */
  readonly code: UploadErrorCode
  /** HTTP status of the answer. */
  readonly statusCode: number
  /** One sentence for a person. */
  readonly error: string
  /** What to do about it. */
  readonly hints: readonly string[]
  /** Seconds after which trying again makes sense. */
  readonly retryAfter: number | undefined

  /**
   * @param options.statusCode another 4xx of the framework, which then carries `invalid_request`
   * @param options.error another sentence than the code's own
   */
  constructor (error_code: UploadErrorCode, detail: string, options: { cause?: unknown, error?: string, hints?: readonly string[], statusCode?: number } = {}) {
    super(detail, 'cause' in options ? { cause: options.cause } : {})
    const kind: Kind = KINDS[error_code]
    this.error_code = this.code = error_code
    this.statusCode = options.statusCode ?? kind.status
    this.error = options.error ?? kind.error
    this.hints = options.hints ?? kind.hints
    this.retryAfter = kind.retryAfter
  }

  /** Whether the client is to blame, which the log reports as a warning. */
  get isClientFault (): boolean { return this.statusCode < 500 }
}

/** The client went away before its last byte, so nobody is answered. @hideconstructor */
export class ClientGoneError extends Error {
  override readonly name = 'ClientGoneError'
}
