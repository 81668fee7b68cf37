import t from 'tap'
import { ClientGoneError, codesOf, UPLOAD_ERROR_CODES, UploadError } from '../../services/upload-errors.ts'

const STATUSES = {
  missing_file: 400,
  too_many_files: 400,
  malformed_upload: 400,
  invalid_request: 400,
  digest_mismatch: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  upload_stalled: 408,
  upload_in_progress: 409,
  precondition_failed: 412,
  file_too_large: 413,
  unsupported_media_type: 415,
  range_not_satisfiable: 416,
  idempotency_key_reused: 422,
  too_many_requests: 429,
  storage_unavailable: 503,
  fallback_impossible: 503,
  overloaded: 503,
  shutting_down: 503,
  internal_error: 500,
}

t.test('each code has its status, a sentence, and hints', async t => {
  t.same(UPLOAD_ERROR_CODES, Object.keys(STATUSES))
  for (const code of UPLOAD_ERROR_CODES) {
    const { error_code, code: same, statusCode, error, hints, message, isClientFault } = new UploadError(code, 'What happened.')
    t.same([error_code, same, statusCode, message, isClientFault], [code, code, STATUSES[code], 'What happened.', STATUSES[code] < 500])
    t.match(error, /^[A-Z].+\.$/, code)
    t.ok(hints.length > 0 && hints.every(hint => /^[A-Z]/.test(hint)), code)
  }
})

t.test('to try again makes sense where the service, and not the request, was in the way', async t => {
  const after = UPLOAD_ERROR_CODES.map(code => [code, new UploadError(code, 'x').retryAfter]).filter(([, seconds]) => seconds !== undefined)
  t.same(Object.fromEntries(after), { upload_in_progress: 2, too_many_requests: 60, storage_unavailable: 10, fallback_impossible: 1, overloaded: 5, shutting_down: 5 })
})

t.test('codes are found by their status', async t => {
  t.same(codesOf(400), ['missing_file', 'too_many_files', 'malformed_upload', 'invalid_request', 'digest_mismatch'])
  t.same(codesOf(503), ['storage_unavailable', 'fallback_impossible', 'overloaded', 'shutting_down'])
  t.same(codesOf(418), [])
})

t.test('an error may say more than its code does', async t => {
  const cause = new Error('what was behind it')
  const error = new UploadError('invalid_request', 'x', { cause, error: 'Another sentence.', hints: ['Another hint.'], statusCode: 417 })
  t.match(error, { name: 'UploadError', error_code: 'invalid_request', statusCode: 417, error: 'Another sentence.', hints: ['Another hint.'], cause })
  t.ok(error.isClientFault)
  t.ok('cause' in new UploadError('invalid_request', 'x', { cause: undefined }))
  t.notOk('cause' in new UploadError('invalid_request', 'x'))
})

t.test('a client that is gone has an error of its own', async t => {
  t.match(new ClientGoneError('gone'), { name: 'ClientGoneError', message: 'gone' })
})
