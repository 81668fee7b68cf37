/** An error as B2's S3-compatible API words it: HTTP status, S3 code and message. */
export class S3Error extends Error {
  readonly status: number
  readonly code: string
  readonly headers: Record<string, string>

  constructor (status: number, code: string, message: string, headers: Record<string, string> = {}) {
    super(message)
    this.name = 'S3Error'
    this.status = status
    this.code = code
    this.headers = headers
  }
}

const USUAL: Record<number, readonly [code: string, message: string]> = {
  400: ['InvalidRequest', 'The request is not valid'],
  401: ['UnauthorizedAccess', 'Not authorized'],
  403: ['AccessDenied', 'not entitled'],
  404: ['NoSuchKey', 'Key not found'],
  405: ['MethodNotAllowed', 'The specified method is not allowed against this resource'],
  408: ['RequestTimeout', 'Your socket connection to the server was not read from or written to within the timeout period'],
  409: ['OperationAborted', 'A conflicting operation is in progress'],
  429: ['TooManyRequests', 'Too many requests'],
  500: ['InternalError', 'An internal error occurred. Please retry your upload.'],
  501: ['NotImplemented', 'This operation is not implemented'],
  503: ['ServiceUnavailable', 'no tomes available'],
}

/** The code and message B2 usually sends with `status`. */
export function usualError (status: number): readonly [code: string, message: string] {
  return USUAL[status] ?? [status >= 500 ? 'InternalError' : 'InvalidRequest', `The request ended with status ${status}`]
}

export function notImplemented (what: string): S3Error {
  return new S3Error(501, 'NotImplemented', `${what} is not implemented`)
}

export function notEntitled (): S3Error {
  return new S3Error(403, 'AccessDenied', 'not entitled')
}

export function invalidArgument (message: string): S3Error {
  return new S3Error(400, 'InvalidArgument', message)
}
