import t from 'tap'
import { B2_ERROR_CODES, b2Hints, describeFailure } from '../../../services/b2/error-codes.ts'
import type { B2ErrorCode, FailureWeight } from '../../../services/b2/error-codes.ts'
import { TransportError } from '../../../services/b2/http/request-handler.ts'

/** An error as the SDK throws it for an answer of B2. */
function answer (status: number, name = 'Unknown', message = 'some words'): Error {
  return Object.assign(new Error(message), { name, $metadata: { httpStatusCode: status } })
}

function system (code: string, message = 'some words'): Error {
  return Object.assign(new Error(message), { code })
}

function wrapped (cause: unknown, name = 'Error'): Error {
  return Object.assign(new Error('it failed', { cause }), { name })
}

const named = (name: string, message = 'some words'): Error => Object.assign(new Error(message), { name })

type Row = [code: B2ErrorCode, retryable: boolean, weight: FailureWeight, errors: unknown[]]

const ROWS: Row[] = [
  ['auth_error', false, 'hard', [
    answer(403, 'InvalidAccessKeyId', 'Malformed Access Key Id'), answer(403, 'SignatureDoesNotMatch'), answer(401), answer(401, 'UnauthorizedAccess'),
    answer(403, 'RequestTimeTooSkewed'), named('CredentialsProviderError'), answer(400, 'AuthorizationHeaderMalformed'), answer(400, 'ExpiredToken'),
    answer(400, 'InvalidToken'),
  ]],
  ['quota_exceeded', false, 'hard', [
    answer(403, 'AccessDenied', 'Storage cap exceeded.'), answer(403, 'Unknown', 'See the Caps & Alerts page to increase your cap.'),
    answer(403, 'AccessDenied', 'See the Caps &amp; Alerts page'),
  ]],
  ['access_denied', false, 'hard', [answer(403, 'AccessDenied', 'not entitled'), answer(403)]],
  ['bucket_not_found', false, 'hard', [answer(404, 'NoSuchBucket'), answer(400, 'InvalidBucketName')]],
  ['rate_limited', true, 'soft', [answer(503, 'SlowDown'), answer(429), answer(429, 'TooManyRequests'), answer(400, 'Throttling'), answer(400, 'ThrottlingSomething'), answer(400, 'ThrottlingException'), answer(400, 'RequestLimitExceeded')]],
  ['timeout', true, 'soft', [
    system('ETIMEDOUT'), system('ESOCKETTIMEDOUT'), named('TimeoutError'), answer(400, 'RequestTimeout'), answer(408), answer(504),
    new TransportError('nothing moved', 'B2_STALLED', false), new TransportError('too long', 'B2_CONNECT_TIMEOUT', false), system('B2_NO_ACKNOWLEDGEMENT'),
  ]],
  ['network_error', true, 'soft', [
    ...['ECONNRESET', 'EPIPE', 'ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ENETDOWN', 'ECONNABORTED'].map(code => system(code)),
    // The SDK renames these.
    Object.assign(system('ECONNRESET'), { name: 'TimeoutError' }), Object.assign(system('EPIPE'), { name: 'TimeoutError' }),
    new Error('socket hang up'), new TransportError('read ECONNRESET', 'ECONNRESET', true),
  ]],
  ['network_error', false, 'hard', [
    ...['CERT_HAS_EXPIRED', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'ERR_TLS_CERT_ALTNAME_INVALID'].map(code => system(code)),
    new TransportError('self-signed certificate', 'DEPTH_ZERO_SELF_SIGNED_CERT', false, system('DEPTH_ZERO_SELF_SIGNED_CERT')),
  ]],
  ['service_unavailable', true, 'soft', [
    answer(500, 'InternalError'), answer(502), answer(503, 'ServiceUnavailable', 'no tomes available'), answer(500, 'Error', 'char \'B\' is not expected.:1:1'),
    answer(599), answer(200, 'SyntaxError'), answer(503, 'Unknown', 'the service\'s cap exceeded'), named('IncompleteAnswer'), system('HPE_INVALID_CONSTANT', 'Parse Error: Expected HTTP/'),
  ]],
  ['checksum_mismatch', false, 'soft', [answer(400, 'BadDigest'), answer(400, 'XAmzContentSHA256Mismatch')]],
  ['invalid_request', false, 'none', [answer(400), answer(404, 'NoSuchUpload'), answer(405), answer(409), answer(400, 'EntityTooLarge'), answer(501, 'NotImplemented'), answer(400, 'NotThrottling')]],
  ['unknown_error', false, 'soft', [system('MY_CERT_CODE'), system('MY_HPE_CODE'), new Error('what?'), undefined, null, 'a string', 42, {}, Object.assign(new Error('x'), { code: 42 })]],
]

for (const [code, retryable, weight, errors] of ROWS) {
  t.test(`${code}, ${weight}, ${retryable ? '' : 'not '}tried again`, async t => {
    for (const error of errors) t.match(describeFailure(error), { error_code: code, retryable, weight }, String(error))
  })
}

t.test('causes are followed, however deep, and those of an AggregateError', async t => {
  t.match(describeFailure(wrapped(wrapped(system('ECONNREFUSED')))), { error_code: 'network_error', detail: 'B2 could not be reached: connection refused' })
  t.match(describeFailure(wrapped(system('CERT_HAS_EXPIRED'))), { error_code: 'network_error', weight: 'hard', retryable: false })
  t.match(describeFailure(new AggregateError([system('ENETUNREACH'), system('ECONNREFUSED')])), { error_code: 'network_error', detail: /network unreachable$/ })
  t.match(describeFailure(wrapped(new AggregateError([wrapped(system('ETIMEDOUT'))]))), { error_code: 'timeout' })
})

t.test('a cause that is its own is no trap', async t => {
  const error = new Error('round')
  error.cause = wrapped(error)
  t.match(describeFailure(error), { error_code: 'unknown_error' })
})

t.test('the outermost error that says something counts', async t => {
  t.match(describeFailure(Object.assign(answer(503), { cause: system('ECONNRESET') })), { error_code: 'service_unavailable' })
  t.match(describeFailure(Object.assign(answer(503), { code: 'ECONNRESET' })), { error_code: 'network_error' }, 'its system code before its status')
})

t.test('the detail is ours with safe facts; B2\'s words are apart', async t => {
  const { detail, raw, status } = describeFailure(answer(403, 'InvalidAccessKeyId', "The key '004secret' is not valid"))
  t.equal(detail, 'B2 did not accept the credentials: HTTP status 403')
  t.equal(raw, "InvalidAccessKeyId The key '004secret' is not valid")
  t.equal(status, 403)
  t.equal(describeFailure(wrapped(system('EPIPE', ''), 'Outer')).raw, 'Outer it failed; caused by Error EPIPE')
  t.equal(describeFailure('only words').raw, 'only words')
  t.notOk('status' in describeFailure(system('EPIPE')))
})

t.test('every code has one sentence', async t => {
  for (const [error, detail] of [
    [answer(403, 'InvalidAccessKeyId'), 'B2 did not accept the credentials: HTTP status 403'],
    [answer(403), 'The B2 key may not do this: HTTP status 403'],
    [answer(404, 'NoSuchBucket'), 'The B2 bucket does not exist: HTTP status 404'],
    [answer(403, 'AccessDenied', 'Storage cap exceeded.'), 'A cap of the B2 account is used up: HTTP status 403'],
    [answer(429), 'B2 asked to slow down: HTTP status 429'],
    [named('TimeoutError'), 'B2 did not answer in time'],
    [answer(503), 'B2 is unavailable: HTTP status 503'],
    [answer(400, 'BadDigest'), 'B2 received other bytes than were sent: HTTP status 400'],
    [answer(400), 'B2 refused the request as invalid: HTTP status 400'],
    [new Error('what?'), 'B2 failed in an unknown way'],
    [new Error('socket hang up'), 'B2 could not be reached: connection closed'],
    [system('HPE_INVALID_CONSTANT'), 'B2 is unavailable: its answer was not HTTP'],
    [system('CERT_HAS_EXPIRED'), 'B2 could not be reached: the TLS connection could not be trusted'],
    [Object.assign(answer(500), { code: 'ECONNRESET' }), 'B2 could not be reached: connection reset, HTTP status 500'],
  ] as const) t.equal(describeFailure(error).detail, detail)
})

t.test('what the system says is told in words', async t => {
  for (const [code, words] of [
    ['ECONNREFUSED', 'connection refused'], ['ECONNRESET', 'connection reset'], ['EPIPE', 'connection closed'], ['ENOTFOUND', 'host name not found'],
    ['EAI_AGAIN', 'host name lookup failed'], ['EHOSTUNREACH', 'host unreachable'], ['ENETUNREACH', 'network unreachable'],
    ['ETIMEDOUT', 'connection timed out'], ['B2_CONNECT_TIMEOUT', 'connection not established in time'], ['B2_STALLED', 'nothing moved on the connection'],
    ['B2_NO_ACKNOWLEDGEMENT', 'nothing was acknowledged in time'],
  ] as const) t.equal(describeFailure(system(code)).detail.split(': ')[1], words, code)
})

t.test('every code has something that a person can do', async t => {
  for (const code of B2_ERROR_CODES) {
    t.ok(b2Hints(code).length > 0, code)
    for (const hint of b2Hints(code)) t.match(hint, /^[A-Z].{20,}\.$/)
  }
})
