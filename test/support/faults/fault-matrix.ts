import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { B2Emulator, Fault } from '../../../emulator/index.ts'
import { drawNoPauses } from '../b2/no-pauses.ts'
import { outcomeAt, STEP_ROWS } from './fault-rows.ts'
import type { FaultRow, Outcome, Step } from './fault-rows.ts'
import { b2Env, bytes, inB2, put, settledFiles, sha256, startB2, startService } from '../service/service.ts'
import type { Answer, LogLine, TestService } from '../service/service.ts'

export const KIB = 1_024
export const MIB = 1_048_576

/** The smallest that B2 takes: the moments are those of larger ones, and there are many rows. */
const PART = 5 * MIB
const WINDOW = 17 * MIB
export const TWO_PARTS = 6 * MIB
/** Nearly the window. */
export const FOUR_PARTS = 16 * MIB

const OPERATIONS = {
  put: 'PutObject', create: 'CreateMultipartUpload', part: 'UploadPart', complete: 'CompleteMultipartUpload',
} as const

/** An emulator, and services that use it, shared by the rows of a file. */
export interface Stage {
  readonly b2: B2Emulator
  /** Never takes a busy event loop for a stall. */
  readonly patient: TestService
  /** Notices a stall soon. */
  readonly hasty: TestService
}

/** The first trouble of one upload must not decide about the next, so there is no breaker. */
export async function setStage (t: Test): Promise<Stage> {
  drawNoPauses(t)
  const b2 = await startB2(t)
  const common = { ...b2Env(b2), B2_PART_BYTES: String(PART), REPLAY_WINDOW_BYTES: String(WINDOW), BREAKER_THRESHOLD: '0', B2_MAX_ATTEMPTS: '2' }
  return {
    b2,
    patient: await startService(t, { ...common, B2_STALL_TIMEOUT_MS: '10000' }),
    hasty: await startService(t, { ...common, B2_STALL_TIMEOUT_MS: '500' }),
  }
}

/** Resolves once `holds` does; looks again whenever B2 has ended a request. */
export async function settled (b2: B2Emulator, holds: () => boolean): Promise<void> {
  if (holds()) return
  await new Promise<void>(resolve => {
    const off = b2.on('response', () => {
      if (!holds()) return
      off()
      resolve()
    })
  })
}

/** Where a row strikes. */
export interface Strike {
  readonly step: Step
  /** Of `part`: its number; absent for every part. */
  readonly part?: number
  readonly times: 'once' | 'always'
}

/** A row's fault, scripted for the step; once for every part where no part is named. */
function script (b2: B2Emulator, { fault }: FaultRow, strike: Strike, size: number): void {
  const times = strike.times === 'once' ? 1 : Infinity
  const parts = strike.step !== 'part' || strike.part !== undefined ? [strike.part] : Array.from({ length: Math.ceil(size / PART) }, (_, index) => index + 1)
  for (const part of parts) {
    b2.fault({ ...fault, operation: OPERATIONS[strike.step], times, ...(part === undefined ? {} : { part }) } as Fault)
  }
}

const drawn = new Map<number, Buffer>()

/** Bytes that no other call gave; drawing all of them anew each time would be most of a row's time. */
function freshBytes (size: number): Buffer {
  let content = drawn.get(size)
  if (content === undefined) drawn.set(size, content = bytes(size))
  for (let offset = 0; offset < size; offset += MIB) bytes(16).copy(content, offset)
  return content
}

/** Uploads a file of `size` bytes into the fault, and checks all that is left of it. */
export async function strike (t: Test, stage: Stage, row: FaultRow, at: Strike, size: number): Promise<void> {
  const outcome = outcomeAt(at.times === 'once' ? row.once! : row.always, at.step)
  const name = `${row.name}, ${at.times}, ${at.step}${at.part === undefined ? '' : ` ${at.part}`}, ${size} bytes: ${outcome}`
  await t.test(name, async t => {
    const { b2 } = stage
    const service = row.stalls === true ? stage.hasty : stage.patient
    const content = freshBytes(size)
    const before = service.log.lines.length
    script(b2, row, at, size)
    const answer = await put(service, content, 'song.mp3')
    b2.clearFaults()
    await checkAnswer(t, answer, content, outcome, service, b2)
    await checkLeftovers(t, answer, outcome, service, b2)
    checkLog(t, service.log.lines.slice(before), outcome)
    await clear(stage)
  })
}

/** The answer is right, and the bytes are where it says. */
export async function checkAnswer (t: Test, { status, body }: Answer, content: Buffer, outcome: Outcome, service: TestService, b2: B2Emulator): Promise<void> {
  const hash = sha256(content)
  t.match({ status, size: body.track?.size_bytes, sha256: body.track?.sha256 }, { status: 201, size: content.byteLength, sha256: hash }, JSON.stringify(body))
  if (outcome === 'b2') {
    t.match(body, { storage: 'b2', location: body.track.key, fallback_from_b2: undefined, fallback_reason: undefined })
    const { files, receipts } = inB2(b2)
    t.match(files, [{ key: body.location, size: content.byteLength, sha256: hash, isHideMarker: false }])
    t.same(receipts.map(({ key }) => key), files[0]?.metadata['receipt'] === undefined ? [`${body.location}.receipt.json`] : [], 'its receipt is with it or beside it')
  } else {
    t.match(body, { storage: 'local', location: join(service.dir, body.track.key), fallback_from_b2: true, fallback_reason: { error_code: outcome } })
    t.ok(content.equals(await readFile(body.location)), 'the local file is whole')
  }
}

/** Nothing stays in either store beside the file, once the background has done its work. */
export async function checkLeftovers (t: Test, { body }: Answer, outcome: Outcome, service: TestService, b2: B2Emulator, mayStay = false): Promise<void> {
  const key: string = body.track.key
  const expected = outcome === 'b2' ? [key] : []
  await settled(b2, () => b2.unfinishedUploads().length === 0 && (mayStay || inB2(b2).files.length === expected.length))
  const { files, receipts } = inB2(b2)
  t.same(files.map(version => version.key), mayStay ? [key] : expected, 'no version in B2 that should not be there')
  // That of a file that fell back late may stay: promotion stores it again and settles it.
  t.ok(receipts.length <= 1 && receipts.every(version => version.key === `${key}.receipt.json`), 'nor any receipt but its own')
  t.same(await settledFiles(service), outcome === 'b2' ? [] : [key, `${key}.receipt.json`].sort(), 'nothing else in the local directory')
}

/** One closing line, and one of the failure before it. */
export function checkLog (t: Test, lines: LogLine[], outcome: Outcome): void {
  const told = lines.filter(({ event }) => event === 'b2.failed' || event?.startsWith('upload.') === true)
  const stored = { event: 'upload.stored', storage: outcome === 'b2' ? 'b2' : 'local', fallback_from_b2: outcome !== 'b2' }
  t.match(told, outcome === 'b2' ? [stored] : [{ event: 'b2.failed', error_code: outcome, attempts: Number }, { ...stored, fallback_reason: { error_code: outcome } }])
  t.equal(told.length, outcome === 'b2' ? 1 : 2, 'and no other line')
}

/** An empty stage for the next row. */
export async function clear ({ b2, patient, hasty }: Stage): Promise<void> {
  b2.reset()
  for (const { dir } of [patient, hasty]) await rm(join(dir, 'tracks'), { recursive: true, force: true })
}

/** Strikes at one step with every row, each try and the first alone, and with B2 going down. */
export async function strikeStep (t: Test, stage: Stage, step: 'create' | 'complete', size: number, rows: readonly FaultRow[] = STEP_ROWS): Promise<void> {
  for (const row of rows) {
    await strike(t, stage, row, { step, times: 'always' }, size)
    if (row.once !== undefined) await strike(t, stage, row, { step, times: 'once' }, size)
  }
  await strikeDown(t, stage, { step }, size)
}

/** B2 goes down when a request of `step` arrives (before the upload for the first one), and comes back after the answer. */
export async function strikeDown (t: Test, stage: Stage, at: Omit<Strike, 'times'>, size: number): Promise<void> {
  await t.test(`connections refused from ${at.step} ${at.part ?? ''} on, ${size} bytes: network_error`, async t => {
    const { b2, patient: service } = stage
    const content = freshBytes(size)
    const before = service.log.lines.length
    const isFirst = at.step === 'put' || at.step === 'create'
    const down = isFirst ? b2.refuseConnections() : b2.waitFor('fault').then(async () => { await b2.refuseConnections() })
    if (!isFirst) b2.fault({ operation: OPERATIONS[at.step], action: 'hang', times: Infinity, ...(at.part === undefined ? {} : { part: at.part }) })
    if (isFirst) await down
    const answer = await put(service, content, 'song.mp3')
    await down
    await checkAnswer(t, answer, content, 'network_error', service, b2)
    b2.clearFaults()
    await b2.acceptConnections()
    await checkLeftovers(t, answer, 'network_error', service, b2)
    checkLog(t, service.log.lines.slice(before), 'network_error')
    await clear(stage)
  })
}

/** The answer of a request that stores the object is lost, and B2 does not tell whether it did. */
export async function strikeBlind (t: Test, stage: Stage, step: 'put' | 'complete', size: number): Promise<void> {
  await t.test(`an answer that is lost and nobody can look, ${step}, ${size} bytes: network_error`, async t => {
    const { b2, patient: service } = stage
    const content = freshBytes(size)
    const before = service.log.lines.length
    b2.fault({ operation: OPERATIONS[step], action: 'lose-answer', times: Infinity })
    b2.fault({ operation: 'HeadObject', status: 403, times: Infinity })
    const answer = await put(service, content, 'song.mp3')
    await checkAnswer(t, answer, content, 'network_error', service, b2)
    // The object may stay: promotion stores the local file under the same key and settles it.
    await checkLeftovers(t, answer, 'network_error', service, b2, true)
    t.equal(inB2(b2).files[0]?.sha256, sha256(content), 'what stays is this file')
    checkLog(t, service.log.lines.slice(before), 'network_error')
    await clear(stage)
  })
}
