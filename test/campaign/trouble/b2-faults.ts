import type { Fault, Operation } from '../../../emulator/index.ts'
import type { B2Fault } from '../script.ts'
import type { Random } from '../seed.ts'

const WRITES: readonly Operation[] = ['PutObject', 'CreateMultipartUpload', 'UploadPart', 'CompleteMultipartUpload']
const OTHERS: readonly Operation[] = ['AbortMultipartUpload', 'HeadObject', 'GetObject', 'DeleteObject', 'ListObjectVersions', 'ListMultipartUploads', 'ListParts']

/** What B2 answers instead of what was asked for. A missing bucket is missing for all: see {@link outage}. */
const ANSWERS: readonly B2Fault[] = [
  { status: 503 },
  { status: 500 },
  { status: 503, code: 'SlowDown', message: 'Please reduce your request rate.', headers: { 'retry-after': '1' } },
  { status: 502, body: '<html><body>Bad Gateway</body></html>', contentType: 'text/html' },
  { status: 504, body: '' },
  { status: 408, code: 'RequestTimeout' },
  { status: 400, code: 'BadDigest' },
  { status: 501, code: 'NotImplemented' },
]

/** What it answers until somebody does something about it. */
const REFUSALS: readonly B2Fault[] = [
  { status: 403, code: 'AccessDenied' },
  { status: 403, code: 'AccessDenied', message: 'Transaction cap exceeded. See the Caps & Alerts page to increase your cap.' },
  { status: 403, code: 'InvalidAccessKeyId', message: "The key '004aaa' is not valid" },
  { status: 403, code: 'SignatureDoesNotMatch' },
  { status: 403, code: 'RequestTimeTooSkewed' },
  { status: 400, code: 'AuthorizationHeaderMalformed', message: "The region 'us-west-004' is wrong" },
]

/** What becomes of a request to whichever operation. */
const ACCIDENTS: readonly B2Fault[] = [
  { action: 'hang' },
  { action: 'stop-reading' },
  { action: 'reset', at: 'before-body' },
  { action: 'reset', at: 'during-body' },
  { action: 'reset', at: 'after-body' },
  { action: 'lose-answer' },
  { action: 'lose-answer-hang' },
  { action: 'truncate-answer' },
  { action: 'garbage' },
  { delayMs: 200 },
  { delayMs: 3_000 },
  { bytesPerSecond: 2_000_000 },
]

/** Answers to writes that say neither yes nor no. */
const DOUBTS: readonly B2Fault[] = [
  { action: 'error-in-200' },
  { action: 'error-in-200', apply: true },
  { action: 'no-etag' },
  { action: 'no-etag', apply: false },
]

/** A completion that is answered before it is carried out. */
const SLOW_COMPLETIONS: readonly B2Fault[] = [
  { action: 'white-space', everyMs: 100, delayMs: 2_500 },
  { action: 'white-space', everyMs: 100, delayMs: 2_500, declarationFirst: true },
  { action: 'white-space', everyMs: 100, delayMs: 500, code: 'InternalError' },
  { action: 'white-space', everyMs: 60_000, delayMs: 60_000 },
]

/** A fault of some requests. */
export function someFault (random: Random): B2Fault {
  const isWrite = random.chance(0.7)
  const operation = random.pick(isWrite ? WRITES : OTHERS)
  const trouble = random.weighted([
    [3, () => random.pick(ANSWERS)],
    [1, () => random.pick(REFUSALS)],
    [4, () => random.pick(ACCIDENTS)],
    [isWrite ? 2 : 0, () => random.pick(DOUBTS)],
    [operation === 'CompleteMultipartUpload' ? 3 : 0, () => random.pick(SLOW_COMPLETIONS)],
  ])()
  return {
    operation: [operation],
    ...trouble,
    ...(trouble.status !== undefined && random.chance(0.2) ? { early: true } : {}),
    ...(operation === 'UploadPart' && random.chance(0.5) ? { part: random.between(1, 4) } : {}),
    ...(random.chance(0.5) ? { after: random.between(1, 3) } : {}),
    ...(random.chance(0.3) ? {} : { times: random.between(1, 4) }),
  }
}

/** B2 fails all writes, or all that it is asked. */
export function outage (random: Random): B2Fault {
  const trouble = random.weighted<B2Fault>([
    [3, random.pick(ANSWERS)],
    [2, random.pick(REFUSALS)],
    [2, random.pick(ACCIDENTS.filter(({ delayMs }) => delayMs === undefined))],
    [1, { status: 404, code: 'NoSuchBucket' }],
  ])
  return random.chance(0.5) ? trouble : { operation: WRITES, ...trouble }
}

/** B2 fails once it has some of a large file, for a time or until it is well again. */
export function lateOutage (random: Random): B2Fault {
  const trouble = random.weighted<B2Fault>([
    [4, random.pick(ANSWERS)],
    [2, random.pick(REFUSALS)],
    [4, random.pick(ACCIDENTS.filter(({ delayMs }) => delayMs === undefined))],
  ])
  const which = random.weighted<B2Fault>([
    [3, { operation: ['UploadPart'], part: random.between(2, 6) }],
    [3, { operation: ['UploadPart', 'CompleteMultipartUpload'], after: random.between(1, 5) }],
    [2, { operation: ['CompleteMultipartUpload'] }],
  ])
  return { ...which, ...trouble, ...(random.chance(0.4) ? { times: random.between(1, 8) } : {}) }
}

/** What a fault does, in a word or two. */
export function kindOfFault ({ status, code, action, delayMs }: Fault): string {
  return action ?? (status === undefined ? delayMs === undefined ? 'a slow line' : 'a delay' : `${status} ${code ?? ''}`.trim())
}
