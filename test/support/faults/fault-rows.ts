import type { Fault } from '../../../emulator/index.ts'
import type { B2ErrorCode } from '../../../services/b2/error-codes.ts'

/** Where an upload meets its fault. */
export type Step = 'put' | 'create' | 'part' | 'complete'

/** `b2` where retries or HeadObject rightly win, else the code of the fallback. */
export type Outcome = 'b2' | B2ErrorCode

/** One outcome for all steps, or one for each. */
type Outcomes = Outcome | Readonly<Record<Step, Outcome>>

export interface FaultRow {
  readonly name: string
  readonly fault: Fault
  /** The fault hits every try. */
  readonly always: Outcomes
  /** It hits the first try alone; absent where no try follows. */
  readonly once?: Outcomes
  /** Nothing moves any more, so that only the stall rule ends the request. */
  readonly stalls?: true
  /** Differs from another row in B2's words alone, so that one step is enough. */
  readonly wordsOnly?: true
}

export function outcomeAt (outcomes: Outcomes, step: Step): Outcome {
  return typeof outcomes === 'string' ? outcomes : outcomes[step]
}

// Whether an object was stored can be looked up; whether a part or an upload was begun can't, it is asked for again.
const lost = (code: B2ErrorCode): Outcomes => ({ put: 'b2', create: code, part: code, complete: 'b2' })

const REFUSALS: FaultRow[] = [
  { name: 'a key id that B2 does not know', fault: { status: 403, code: 'InvalidAccessKeyId', message: 'Malformed Access Key Id' }, always: 'auth_error' },
  { name: 'a wrong secret', fault: { status: 403, code: 'SignatureDoesNotMatch', message: 'Signature validation failed' }, always: 'auth_error' },
  { name: 'a clock that is wrong', fault: { status: 403, code: 'RequestTimeTooSkewed' }, always: 'auth_error', wordsOnly: true },
  { name: '401', fault: { status: 401 }, always: 'auth_error' },
  { name: 'a key without the capability', fault: { status: 403 }, always: 'access_denied' },
  { name: 'a cap that is used up', fault: { status: 403, message: 'Cannot upload files, storage cap exceeded. See the Caps & Alerts page to increase your cap.' }, always: 'quota_exceeded' },
  { name: 'a bucket that is gone', fault: { status: 404, code: 'NoSuchBucket', message: 'The specified bucket does not exist' }, always: 'bucket_not_found' },
  { name: '400', fault: { status: 400 }, always: 'invalid_request' },
  { name: '400 without a body', fault: { status: 400, body: '' }, always: 'invalid_request', wordsOnly: true },
  { name: '501', fault: { status: 501 }, always: 'invalid_request', wordsOnly: true },
  { name: 'a digest that differs', fault: { status: 400, code: 'BadDigest' }, always: 'checksum_mismatch', wordsOnly: true },
  { name: 'a payload hash that differs', fault: { status: 400, code: 'XAmzContentSHA256Mismatch' }, always: 'checksum_mismatch', wordsOnly: true },
  { name: 'a refusal before the body is read', fault: { status: 403, early: true }, always: 'access_denied' },
]

const TROUBLES: FaultRow[] = [
  { name: '500', fault: { status: 500 }, always: 'service_unavailable', once: 'b2' },
  { name: '500 without a body', fault: { status: 500, body: '' }, always: 'service_unavailable', once: 'b2', wordsOnly: true },
  { name: '502 with an HTML page', fault: { status: 502, body: '<html><body>Bad Gateway</body></html>', contentType: 'text/html' }, always: 'service_unavailable', once: 'b2' },
  { name: '503', fault: { status: 503 }, always: 'service_unavailable', once: 'b2' },
  { name: '503 before the body is read', fault: { status: 503, early: true }, always: 'service_unavailable', once: 'b2' },
  { name: '504', fault: { status: 504, body: '' }, always: 'timeout', once: 'b2' },
  { name: '408', fault: { status: 408 }, always: 'timeout', once: 'b2', wordsOnly: true },
  { name: 'RequestTimeout', fault: { status: 400, code: 'RequestTimeout' }, always: 'timeout', once: 'b2', wordsOnly: true },
  { name: 'SlowDown', fault: { status: 503, code: 'SlowDown', message: 'Please slow down' }, always: 'rate_limited', once: 'b2' },
  { name: '429', fault: { status: 429 }, always: 'rate_limited', once: 'b2', wordsOnly: true },
  { name: 'a reset before the body', fault: { action: 'reset', at: 'before-body' }, always: 'network_error', once: 'b2' },
  { name: 'a reset during the body', fault: { action: 'reset', at: 'during-body' }, always: 'network_error', once: 'b2' },
  { name: 'a reset after the body', fault: { action: 'reset', at: 'after-body' }, always: 'network_error', once: 'b2' },
  { name: 'an answer that is lost', fault: { action: 'lose-answer' }, always: lost('network_error'), once: 'b2' },
  { name: 'an answer that is no HTTP', fault: { action: 'garbage' }, always: 'service_unavailable', once: 'b2' },
  { name: 'an error in a 200', fault: { action: 'error-in-200' }, always: 'service_unavailable', once: 'b2' },
  { name: 'an error in a 200 for what was done', fault: { action: 'error-in-200', apply: true }, always: lost('service_unavailable'), once: 'b2' },
  { name: 'a success without its result', fault: { action: 'no-etag', apply: false }, always: 'service_unavailable', once: 'b2' },
  {
    name: 'a success without ETag',
    fault: { action: 'no-etag' },
    // An upload that begins has none.
    always: { ...lost('service_unavailable') as Record<Step, Outcome>, create: 'b2' },
    once: 'b2',
  },
  {
    name: 'an answer that is cut',
    fault: { action: 'truncate-answer' },
    // The answers to these two have no body that could be cut.
    always: { put: 'b2', create: 'network_error', part: 'b2', complete: 'b2' },
    once: 'b2',
  },
]

const STALLS: FaultRow[] = [
  { name: 'no answer', fault: { action: 'hang' }, always: 'timeout', once: 'b2', stalls: true },
  { name: 'a body that is not read', fault: { action: 'stop-reading' }, always: 'timeout', once: 'b2', stalls: true },
  { name: 'a body that is read halfway', fault: { action: 'stop-reading', atByte: 50_000 }, always: 'timeout', once: 'b2', stalls: true },
  { name: 'no answer to what was done', fault: { action: 'lose-answer-hang' }, always: lost('timeout'), once: 'b2', stalls: true },
]

export const FAULT_ROWS: readonly FaultRow[] = [...REFUSALS, ...TROUBLES, ...STALLS]

/** The rows for each step of an upload. */
export const STEP_ROWS: readonly FaultRow[] = FAULT_ROWS.filter(({ wordsOnly }) => wordsOnly !== true)
