/**
 * What went wrong with B2, in the stable codes of answers, logs and metrics, and what each code means for retries, for the
 * circuit and for the operator.
 */

export const B2_ERROR_CODES = [
  'auth_error', 'access_denied', 'bucket_not_found', 'quota_exceeded', 'rate_limited', 'timeout', 'network_error',
  'service_unavailable', 'checksum_mismatch', 'invalid_request', 'unknown_error',
] as const

/** Stable codes of B2's failures. */
export type B2ErrorCode = typeof B2_ERROR_CODES[number]

/** How a failure counts for the circuit: it opens it at once, adds to a row, or says nothing about B2's health. */
export type FailureWeight = 'hard' | 'soft' | 'none'

/** A raw failure of the SDK, the network or B2, mapped. */
export interface B2Failure {
  readonly error_code: B2ErrorCode
  /** One sentence of ours with safe facts only (status, system call), for answers. */
  readonly detail: string
  /** The words of B2 or the system, for the log only. They may quote key ids: the B2 store removes those. */
  readonly raw: string
  readonly weight: FailureWeight
  /** Whether another try of the same request can succeed. */
  readonly retryable: boolean
  /** HTTP status of B2's answer, if there was one. */
  readonly status?: number | undefined
  /** True if B2 says that it does not have a multipart upload, or a part of it. */
  readonly isUploadGone?: true
}

interface Rule {
  readonly sentence: string
  readonly weight: FailureWeight
  readonly retryable: boolean
  readonly hints: readonly string[]
}

const RULES: Record<B2ErrorCode, Rule> = {
  auth_error: {
    sentence: 'B2 did not accept the credentials',
    weight: 'hard',
    retryable: false,
    hints: [
      'Check B2_APPLICATION_KEY_ID and B2_APPLICATION_KEY. They must be an application key: B2\'s S3 API refuses the master key.',
      'Check that the key belongs to the region of B2_ENDPOINT and has not expired, and that this machine\'s clock is right.',
    ],
  },
  access_denied: {
    sentence: 'The B2 key may not do this',
    weight: 'hard',
    retryable: false,
    hints: ['Give the key the capability writeFiles for this bucket and the prefix in B2_KEY_PREFIX.'],
  },
  bucket_not_found: {
    sentence: 'The B2 bucket does not exist',
    weight: 'hard',
    retryable: false,
    hints: ['Check B2_BUCKET, and that the bucket is in the region of B2_ENDPOINT.'],
  },
  quota_exceeded: {
    sentence: 'A cap of the B2 account is used up',
    weight: 'hard',
    retryable: false,
    hints: ['Raise the cap on the "Caps & Alerts" page of the Backblaze account, or wait for its daily reset.'],
  },
  rate_limited: {
    sentence: 'B2 asked to slow down',
    weight: 'soft',
    retryable: true,
    hints: ['If it is brief, do nothing. If it lasts, spread the uploads over more time, or lower UPLOAD_MAX_CONCURRENT.'],
  },
  timeout: {
    sentence: 'B2 did not answer in time',
    weight: 'soft',
    retryable: true,
    hints: ['B2 sometimes stalls, and usually recovers within a minute. If it lasts, check the network path to B2_ENDPOINT.'],
  },
  network_error: {
    sentence: 'B2 could not be reached',
    weight: 'soft',
    retryable: true,
    hints: ['Check that this machine can reach B2_ENDPOINT (DNS, firewall, proxy, certificates).'],
  },
  service_unavailable: {
    sentence: 'B2 is unavailable',
    weight: 'soft',
    retryable: true,
    hints: ['B2 is sometimes busy, and recovers without help. If it lasts, see Backblaze\'s status page.'],
  },
  checksum_mismatch: {
    sentence: 'B2 received other bytes than were sent',
    weight: 'soft',
    retryable: false,
    hints: ['Check whether a proxy between this service and B2 changes requests, and test this machine\'s memory.'],
  },
  invalid_request: {
    sentence: 'B2 refused the request as invalid',
    weight: 'none',
    retryable: false,
    hints: ['Check that B2_ENDPOINT is an S3-compatible endpoint. The log has B2\'s own words.'],
  },
  unknown_error: {
    sentence: 'B2 failed in an unknown way',
    weight: 'soft',
    retryable: false,
    hints: ['The log has the details.'],
  },
}

/** What the operator can do about a failure of this kind. */
export function b2Hints (code: B2ErrorCode): readonly string[] {
  return RULES[code].hints
}

const SYSTEM_WORDS: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EPIPE: 'connection closed',
  ENOTFOUND: 'host name not found',
  EAI_AGAIN: 'host name lookup failed',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
  ETIMEDOUT: 'connection timed out',
  B2_CONNECT_TIMEOUT: 'connection not established in time',
  B2_STALLED: 'nothing moved on the connection',
  B2_NO_DOCUMENT: 'its answer ended before it said what became of the file',
  B2_NO_ACKNOWLEDGEMENT: 'nothing was acknowledged in time',
  B2_SLOW: 'the line is slow: bytes moved, and nothing was acknowledged in time',
}

const BY_SYSTEM_CODE: Record<string, B2ErrorCode> = {
  ETIMEDOUT: 'timeout',
  ESOCKETTIMEDOUT: 'timeout',
  B2_CONNECT_TIMEOUT: 'timeout',
  B2_STALLED: 'timeout',
  B2_NO_DOCUMENT: 'service_unavailable',
  B2_NO_ACKNOWLEDGEMENT: 'timeout',
  B2_SLOW: 'timeout',
  ECONNRESET: 'network_error',
  EPIPE: 'network_error',
  ECONNREFUSED: 'network_error',
  ECONNABORTED: 'network_error',
  ENOTFOUND: 'network_error',
  EAI_AGAIN: 'network_error',
  EHOSTUNREACH: 'network_error',
  ENETUNREACH: 'network_error',
  ENETDOWN: 'network_error',
}

const BY_NAME: Record<string, B2ErrorCode> = {
  InvalidAccessKeyId: 'auth_error',
  SignatureDoesNotMatch: 'auth_error',
  AuthorizationHeaderMalformed: 'auth_error',
  ExpiredToken: 'auth_error',
  InvalidToken: 'auth_error',
  RequestTimeTooSkewed: 'auth_error',
  CredentialsProviderError: 'auth_error',
  NoSuchBucket: 'bucket_not_found',
  InvalidBucketName: 'bucket_not_found',
  SlowDown: 'rate_limited',
  Throttling: 'rate_limited',
  ThrottlingException: 'rate_limited',
  TooManyRequests: 'rate_limited',
  RequestLimitExceeded: 'rate_limited',
  TimeoutError: 'timeout',
  RequestTimeout: 'timeout',
  BadDigest: 'checksum_mismatch',
  XAmzContentSHA256Mismatch: 'checksum_mismatch',
  ServiceUnavailable: 'service_unavailable',
  InternalError: 'service_unavailable',
  IncompleteAnswer: 'service_unavailable',
}

/** Not every 404: a proxy in front of B2 answers so, too. */
const UPLOAD_GONE = new Set(['NoSuchUpload', 'InvalidPart'])

const NAMED_FACTS: Record<string, string> = {
  RequestTimeTooSkewed: 'this machine\'s clock and B2\'s differ too much',
}

const TLS_CODE = /^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_TLS_|ERR_SSL_|HOSTNAME_MISMATCH)/
const CAP_WORDS = /cap exceeded|caps & alerts|caps &amp; alerts/i

interface RawError {
  readonly name?: unknown
  readonly code?: unknown
  readonly message?: unknown
  readonly cause?: unknown
  readonly errors?: unknown
  readonly $metadata?: { readonly httpStatusCode?: number }
}

/**
 * Maps whatever the SDK, the network or B2 threw. Looks at system codes before names (the SDK renames ECONNRESET to
 * TimeoutError), at names before the status, and follows `cause`.
 */
export function describeFailure (error: unknown): B2Failure {
  const raw = rawWords(error)
  for (const link of chain(error)) {
    const status = link.$metadata?.httpStatusCode
    const system = typeof link.code === 'string' ? link.code : ''
    if (TLS_CODE.test(system)) {
      return { ...failure('network_error', 'the TLS connection could not be trusted', raw, status), weight: 'hard', retryable: false }
    }
    const bySystem = BY_SYSTEM_CODE[system]
    if (bySystem !== undefined) {
      const described = failure(bySystem, SYSTEM_WORDS[system], raw, status)
      return system === 'B2_SLOW' ? { ...described, weight: 'none' } : described
    }
    if (status === 403 && CAP_WORDS.test(String(link.message))) return failure('quota_exceeded', undefined, raw, status)
    const byName = BY_NAME[String(link.name)]
    if (byName !== undefined) return failure(byName, NAMED_FACTS[String(link.name)], raw, status)
    if (/^Throttling/.test(String(link.name))) return failure('rate_limited', undefined, raw, status)
    if (status !== undefined) {
      const described = failure(codeOfStatus(status), undefined, raw, status)
      return UPLOAD_GONE.has(String(link.name)) ? { ...described, isUploadGone: true } : described
    }
    if (/socket hang up|other side closed/i.test(String(link.message))) return failure('network_error', 'connection closed', raw, status)
    if (/^HPE_/.test(system)) return failure('service_unavailable', 'its answer was not HTTP', raw, status)
  }
  return failure('unknown_error', undefined, raw)
}

/** True if B2 does not have the acknowledged parts of an upload after this failure, or will never join them. */
export function endsParts ({ error_code }: { readonly error_code: string }): boolean {
  return error_code === 'bucket_not_found' || error_code === 'invalid_request'
}

/** True if only the line was slow: bytes moved all the time, and B2 did not fail. */
export function isOnlySlow ({ error_code, weight }: Pick<B2Failure, 'error_code' | 'weight'>): boolean {
  return error_code === 'timeout' && weight === 'none'
}

function codeOfStatus (status: number): B2ErrorCode {
  if (status === 401) return 'auth_error'
  if (status === 403) return 'access_denied'
  if (status === 408 || status === 504) return 'timeout'
  if (status === 429) return 'rate_limited'
  if (status === 501) return 'invalid_request'
  if (status >= 500) return 'service_unavailable'
  if (status >= 400) return 'invalid_request'
  // A success whose body could not be read counts as a broken answer.
  return 'service_unavailable'
}

function failure (error_code: B2ErrorCode, fact: string | undefined, raw: string, status?: number): B2Failure {
  const rule = RULES[error_code]
  const facts = [fact, status === undefined ? undefined : `HTTP status ${status}`].filter(Boolean).join(', ')
  return {
    error_code,
    detail: facts === '' ? rule.sentence : `${rule.sentence}: ${facts}`,
    raw,
    weight: rule.weight,
    retryable: rule.retryable,
    ...(status === undefined ? {} : { status }),
  }
}

function * chain (error: unknown): Generator<RawError> {
  const seen = new Set<unknown>()
  const queue = [error]
  while (queue.length > 0) {
    const link = queue.shift()
    if (typeof link !== 'object' || link === null || seen.has(link)) continue
    seen.add(link)
    const raw = link as RawError
    yield raw
    queue.push(raw.cause)
    // With several addresses, Node gives an AggregateError of one error per address.
    if (Array.isArray(raw.errors)) queue.push(...raw.errors)
  }
}

function rawWords (error: unknown): string {
  const links = [...chain(error)]
  if (links.length === 0) return String(error)
  return links.map(link => [link.name, link.code, link.message].filter(word => typeof word === 'string' && word !== '').join(' '))
    .join('; caused by ')
}
