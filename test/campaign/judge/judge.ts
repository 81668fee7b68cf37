import { join } from 'node:path'
import { fieldsOf, filenameOf } from '../clients/client.ts'
import type { Outcome } from '../clients/client.ts'
import type { Expected, Receipt } from './expected.ts'
import type { LogLine } from '../service/process.ts'
import { manifestOf } from './split.ts'
import { Violation } from './violation.ts'

/** What an upload may be refused for. */
export interface Circumstances {
  readonly env: Readonly<Record<string, string>>
  /** Absolute path of the local directory. */
  readonly directory: string
  /** Whether B2 may have failed a request meanwhile. */
  readonly hadTrouble: boolean
  /** The same of the disk. */
  readonly hadDiskTrouble: boolean
}

const CLOSING = ['upload.stored', 'upload.failed', 'upload.aborted']
/** Failures of B2 after which what it has of a file can't be joined with the rest. */
const ENDS_PARTS = ['bucket_not_found', 'invalid_request']
const LINE_MS = 30_000
/** For the line of a client that may not even have connected. */
const BRIEF_MS = 1_000

/** Decides what has become of an upload, by its answer and, where that is missing, by the log. @throws {Violation} */
export async function judgeUpload (expected: Expected, outcome: Outcome, circumstances: Circumstances): Promise<void> {
  const { upload, by } = expected
  if (outcome.kind === 'answered' && outcome.isWhole) {
    if (outcome.status === 201 || outcome.status === 202) return judgeReceipt(expected, outcome.status, JSON.parse(String(outcome.body)), circumstances)
    expected.fate = 'absent'
    // What the log says of B2 comes before it.
    if (isCalled(outcome.body, 'fallback_impossible')) await closingLine(expected, LINE_MS)
    return judgeRefusal(expected, outcome.status, String(outcome.body), circumstances)
  }
  const wasBrief = outcome.kind === 'left' && outcome.sent === 0
  const line = await closingLine(expected, wasBrief ? BRIEF_MS : LINE_MS)
  if (line?.event === 'upload.stored') {
    if (outcome.kind !== 'left' && by.ending === undefined) throw new Violation('lost-answer', `${upload.id} was stored, and its client was not told: ${JSON.stringify(outcome)}`)
    return promise(expected, String(line['location']), line['storage'], circumstances)
  }
  if (outcome.kind === 'left' && upload.leave === 'late' && line?.event === 'upload.aborted') {
    throw new Violation('late-leaver', `the client of ${upload.id} left after B2 had been given the last of it, and the file was not stored`)
  }
  if (line === undefined && !wasBrief && by.ending === undefined && !expected.mayLackLine) throw new Violation('closing-lines', `${upload.id} has no closing line`)
  if (outcome.kind !== 'left' && by.ending === undefined && line?.event !== 'upload.failed') {
    throw new Violation('lost-answer', `${upload.id} got no answer: ${JSON.stringify(describe(outcome))}, log ${JSON.stringify(line)}`)
  }
  expected.mayLackLine = line === undefined
  // What did not come whole can't be there whole. What is said in the log is so, unless the process died before it cleaned up.
  expected.fate = expected.isComplete && (line === undefined || by.ending === 'killed') ? 'perhaps' : 'absent'
}

/** Each upload has one line that says how it ended. @throws {Violation} */
export function judgeLines (expected: Expected): void {
  const { upload: { id }, by } = expected
  const lines = closingLines(expected)
  const least = expected.mayLackLine || by.ending === 'killed' ? 0 : 1
  if (lines.length > 1 || lines.length < least) throw new Violation('closing-lines', `${id} has ${lines.length} closing lines: ${JSON.stringify(lines)}`)
  const stored = lines[0]?.event === 'upload.stored'
  if (lines.length > 0 && expected.fate === 'promised' && !stored && expected.wasAnswered) throw new Violation('closing-lines', `${id} was promised, and the log says ${lines[0]!.event}`)
  if (expected.fate === 'absent' && stored) throw new Violation('closing-lines', `${id} was refused, and the log says that it was stored`)
}

function closingLines ({ upload: { id }, by }: Expected): LogLine[] {
  return by.lines.filter(line => line.correlation_id === id && CLOSING.includes(line.event ?? ''))
}

/** Waits for the line, as a client that went is noticed later; undefined where none comes. */
async function closingLine (expected: Expected, limitMs: number): Promise<LogLine | undefined> {
  const { upload: { id }, by } = expected
  return await by.until(line => line.correlation_id === id && CLOSING.includes(line.event ?? ''), limitMs)
}

/** What the log says of B2's failures during an upload. */
export function failures ({ upload: { id }, by }: Expected): LogLine[] {
  return by.lines.filter(line => line.correlation_id === id && line.event === 'b2.failed')
}

function judgeReceipt (expected: Expected, status: 201 | 202, receipt: Receipt, circumstances: Circumstances): void {
  const { upload } = expected
  if (!expected.isComplete && upload.pace.kind === 'stall') throw new Violation('false-success', `${upload.id} was never sent to its end, and answered with ${status}`)
  assertReceipt(expected, receipt, circumstances.directory)
  if ((receipt.storage !== 'b2') !== (receipt.fallback_from_b2 === true)) throw new Violation('wrong-receipt', `${upload.id} is in ${receipt.storage}, and a fallback: ${receipt.fallback_from_b2}`)
  if ((receipt.storage === 'split') !== (status === 202)) throw new Violation('wrong-receipt', `${upload.id} is in ${receipt.storage}, and was answered with ${status}`)
  if (status === 202) assertMaySplit(expected, circumstances)
  promise(expected, receipt.location, receipt.storage, circumstances)
  expected.wasAnswered = true
}

/**
 * A file may be split if it has more than one part, and nothing demands that it be refused. As with other fallbacks, B2 may just have been
 * slower than `B2_ACK_TIMEOUT_MS` allows.
 */
function assertMaySplit ({ upload }: Expected, { env }: Circumstances): void {
  if (env['FALLBACK_BEYOND_WINDOW'] === 'refuse' || upload.size <= Number(env['B2_PART_BYTES'])) {
    throw new Violation('wrong-split', `${upload.id}, of ${upload.size} bytes, was split`)
  }
}

function promise (expected: Expected, location: string, storage: unknown, { env, directory }: Circumstances): void {
  const { upload } = expected
  if (upload.size > Number(env['UPLOAD_MAX_BYTES'])) throw new Violation('too-large', `${upload.id} is larger than what is accepted, and was stored`)
  const isLocal = location.startsWith(`${directory}/`)
  const place = isLocal ? 'local' : storage === 'split' ? 'split' : 'b2'
  if (storage !== place) throw new Violation('wrong-place', `${upload.id} is said to be in ${String(storage)}, at ${location}`)
  expected.fate = 'promised'
  expected.key = isLocal ? location.slice(directory.length + 1) : location
  expected.storage = place
  if (place === 'split') expected.uploadId = manifestOf(directory, expected.key)?.upload_id
}

/** @throws {Violation} where a receipt is not that of the upload */
export function assertReceipt ({ upload, sha256, key }: Expected, { location, storage, split, track }: Receipt, directory: string): void {
  const want = { filename: filenameOf(upload.id), size_bytes: upload.size, sha256, metadata: JSON.stringify(fieldsOf(upload)) }
  const got = { filename: track.filename, size_bytes: track.size_bytes, sha256: track.sha256, metadata: JSON.stringify(track.metadata) }
  if (JSON.stringify(got) !== JSON.stringify(want)) throw new Violation('wrong-receipt', `${upload.id}: ${JSON.stringify(got)} instead of ${JSON.stringify(want)}`)
  if (location !== (storage === 'local' ? join(directory, track.key) : track.key)) throw new Violation('wrong-receipt', `${upload.id}: ${storage} ${location}`)
  const parts = split ?? { b2_bytes: upload.size, local_bytes: 0 }
  const isSplit = split !== undefined && split.b2_bytes > 0 && split.local_bytes >= 0
  if (parts.b2_bytes + parts.local_bytes !== upload.size || (storage === 'split') !== isSplit) throw new Violation('wrong-receipt', `${upload.id}: ${storage} ${JSON.stringify(split)}`)
  if (key !== undefined && track.key !== key) throw new Violation('wrong-receipt', `${upload.id}: ${track.key} instead of ${key}`)
}

/** The refusals that the contract allows for an upload of this kind at such a time. */
function judgeRefusal (expected: Expected, status: number, body: string, { env, hadTrouble, hadDiskTrouble }: Circumstances): void {
  const { upload, by } = expected
  const code = parse(body)?.error_code
  const isSlow = upload.pace.kind !== 'burst'
  const maySplit = env['FALLBACK_BEYOND_WINDOW'] !== 'refuse' && !failures(expected).some(line => ENDS_PARTS.includes(String(line['error_code'])))
  const allowed: Record<string, readonly [status: number, isAllowed: boolean]> = {
    file_too_large: [413, upload.size > Number(env['UPLOAD_MAX_BYTES'])],
    upload_stalled: [408, isSlow],
    shutting_down: [503, by.ending !== undefined],
    storage_unavailable: [503, hadDiskTrouble],
    fallback_impossible: [503, hadTrouble && !maySplit && upload.size > Number(env['B2_PART_BYTES'])],
    overloaded: [503, isSlow],
  }
  const rule = allowed[String(code)]
  if (rule === undefined || rule[0] !== status || !rule[1]) throw new Violation('wrong-refusal', `${JSON.stringify(upload)} got ${status} ${body}`)
}

function isCalled (body: Buffer, code: string): boolean {
  return parse(String(body))?.error_code === code
}

function parse (text: string): { error_code?: string } | undefined {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function describe (outcome: Outcome): unknown {
  return outcome.kind === 'answered' ? { ...outcome, body: outcome.body.byteLength } : outcome
}
