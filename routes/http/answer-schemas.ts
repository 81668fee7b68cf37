import type { FastifyInstance } from 'fastify'
import { AudioTagsSchema } from '../../services/audio/tags.ts'
import { codesOf, UploadError } from '../../services/upload-errors.ts'
import type { UploadErrorCode } from '../../services/upload-errors.ts'
import { FallbackReasonSchema, ReceiptSchema, SplitBytesSchema, StoredInB2Schema, StoredLocallySchema, StoredSplitSchema, StoredWholeSchema, TrackSchema } from '../../services/receipt.ts'
import type { Receipt, StoredSplit, Track } from '../../services/receipt.ts'
import { errorBody, ErrorSchema } from './error-answer.ts'

/** Headers of an answer, by name, for the OpenAPI document. */
type Headers = Record<string, { type: string, description: string }>

const CORRELATION_ID = 'x-correlation-id'
const EVERY: Headers = {
  [CORRELATION_ID]: { type: 'string', description: 'The id that ties the request, its log lines and the client\'s own records together.' },
}
const EXAMPLE_ID = '8c0f5a52-5d0c-4b4f-9a3e-0c8f3f0a6f11'

const DETAILS: Partial<Record<UploadErrorCode, string>> = {
  missing_file: 'The form ended without a file part.',
  invalid_request: 'There are more than 32 text fields.',
  digest_mismatch: 'Repr-Digest is sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:, but the file that came has sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:.',
  unauthorized: 'missing authorization header',
  forbidden: 'This needs the scope "delete", which the API key does not have.',
  not_found: 'There is no file of this name.',
  upload_in_progress: 'Another request is storing this upload.',
  idempotency_key_reused: 'It came with the file "song.mp3", and now with "other.mp3".',
  upload_stalled: 'Nothing came for 30 seconds.',
  file_too_large: 'The file has more than 1073741824 bytes.',
  unsupported_media_type: 'The content type is application/json, not multipart/form-data.',
  precondition_failed: 'The file is not the one that the conditions of the request demand.',
  range_not_satisfiable: 'The file has 4831838 bytes, and Range asks for "bytes=9000000-".',
  too_many_requests: 'More than 100 uploads came from this address within a minute.',
  storage_unavailable: 'B2: timeout (B2 did not answer in time); local storage: disk_full (The disk is full)',
  internal_error: 'The request failed because of an error in the service.',
}

/** An answer with a body of JSON. */
function json (description: string, schema: string, examples: Record<string, { summary: string, value: unknown }>, headers: Headers = {}) {
  return { description, headers: { ...EVERY, ...headers }, content: { 'application/json': { schema: { $ref: `${schema}#` }, examples } } }
}

/**
 * Answers with an error, by status, as routes describe them.
 * @param statuses each with the codes that the route can answer with, or with `true` for all codes of the status
 */
export function errorAnswers (statuses: Record<number, true | readonly UploadErrorCode[]>): Record<string, object> {
  return Object.fromEntries(Object.entries(statuses).map(([status, some]) => {
    const codes = some === true ? codesOf(Number(status)) : some
    const examples = Object.fromEntries(codes.map(code => {
      const error = new UploadError(code, DETAILS[code] ?? 'What happened, in one sentence.', { statusCode: Number(status) })
      return [code, { summary: error.error, value: errorBody(error, EXAMPLE_ID) }]
    }))
    const retry: Headers = ['409', '423', '429', '503'].includes(status) ? { 'retry-after': { type: 'integer', description: 'Seconds after which trying again makes sense.' } } : {}
    return [status, json(codes.map(code => `\`${code}\``).join(', '), 'B2UploadsErrorAnswer', examples, retry)]
  }))
}

const TRACK: Track = {
  id: '019a3c5e-6f0a-7c3b-9d51-2f1c8a7be001',
  key: 'tracks/019a3c5e-6f0a-7c3b-9d51-2f1c8a7be001.mp3',
  filename: 'song.mp3',
  content_type: 'audio/mpeg',
  size_bytes: 4_831_838,
  sha256: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  uploaded_at: '2026-01-31T12:00:00.000Z',
  metadata: { album_id: '42' },
  audio: {
    container: 'MPEG',
    codec: 'MPEG 1 Layer 3',
    duration_seconds: 301.99,
    bitrate_bps: 128_000,
    sample_rate_hz: 48_000,
    channels: 2,
    title: 'Song',
    artist: 'Singer',
    album: null,
    track_number: 1,
    year: 2025,
    genre: null,
  },
}
const IN_B2: Receipt = { storage: 'b2', location: TRACK.key, track: TRACK }
const IN_LOCAL: Receipt = {
  storage: 'local',
  location: `storage/${TRACK.key}`,
  fallback_from_b2: true,
  fallback_reason: { error_code: 'network_error', detail: 'B2 could not be reached: connection refused' },
  track: TRACK,
}

const LARGE = { ...TRACK, size_bytes: 125_829_120 }
const IN_BOTH: StoredSplit = {
  storage: 'split',
  location: TRACK.key,
  fallback_from_b2: true,
  fallback_reason: { error_code: 'network_error', detail: 'B2 could not be reached: connection refused' },
  split: { b2_bytes: 94_371_840, local_bytes: 31_457_280 },
  track: LARGE,
}
const EXAMPLES = {
  b2: { summary: 'The file is in B2', value: IN_B2 },
  local: { summary: 'The file fell back to local storage', value: IN_LOCAL },
}
const SPLIT = { split: { summary: 'B2 has some parts of the file, and local storage the others', value: IN_BOTH } }

/** An answer with the receipt of a file, wherever it is. */
export function receiptAnswer (description: string): object {
  return json(description, 'B2UploadsReceipt', { ...EXAMPLES, ...SPLIT })
}

/** The answers to an upload that was stored. */
export function storedAnswers (headers: Headers): Record<201 | 202, object> {
  return {
    201: json('Stored, in the store that the answer names.', 'B2UploadsStoredWhole', EXAMPLES, headers),
    202: json('Stored, some parts in B2 and the others in local storage. It can be read once they are joined in B2.', 'B2UploadsStoredSplit', SPLIT, headers),
  }
}

/** An answer with text for programs. */
export function textAnswer (description: string): object {
  return { description, headers: EVERY, content: { 'text/plain': { schema: { type: 'string' } } } }
}

/** An answer without a body. */
export function emptyAnswer (description: string, headers: Headers = {}): object {
  return { type: 'null', description, headers: { ...EVERY, ...headers } }
}

/** An answer with a file's bytes, or with their headers alone. */
export function fileAnswer (description: string, headers: Headers, hasBody: boolean): object {
  if (!hasBody) return emptyAnswer(description, headers)
  return { description, headers: { ...EVERY, ...headers }, content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } } }
}

/** Adds the schemas that these answers refer to, unless a scope around this one has done so. */
export function addSchemas (app: FastifyInstance): void {
  for (const schema of [AudioTagsSchema, TrackSchema, FallbackReasonSchema, SplitBytesSchema, StoredInB2Schema, StoredLocallySchema, StoredSplitSchema, StoredWholeSchema, ReceiptSchema, ErrorSchema]) {
    if (app.getSchema(schema.$id!) === undefined) app.addSchema(schema)
  }
}
