import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { Fault } from '../../../emulator/index.ts'
import { drawNoPauses } from '../b2/no-pauses.ts'
import { outcomeAt, STEP_ROWS } from '../faults/fault-rows.ts'
import type { FaultRow, Outcome } from '../faults/fault-rows.ts'
import { bytes, startB2 } from '../service/service.ts'
import { begin, checkSplit, isJoined, MIB, promoteAll, setSplitStage } from './split.ts'
import type { SplitStage, Way } from './split.ts'

/** What B2 does then is no failure that ends its parts. */
const ENDS_PARTS: readonly Outcome[] = ['bucket_not_found', 'invalid_request']

export const ROWS: readonly FaultRow[] = STEP_ROWS.filter(({ always }) => !ENDS_PARTS.includes(outcomeAt(always, 'part')))

export const WAYS: readonly Way[] = ['form', 'raw', 'chunked']

/** The part that fails, or the completion. */
export type At = number | 'complete'

function isApplied ({ action, apply }: Fault): boolean {
  return apply ?? ['lose-answer', 'lose-answer-hang', 'no-etag'].includes(action ?? '')
}

export interface Matrix {
  readonly patient: SplitStage
  readonly hasty: SplitStage
  readonly partBytes: number
  readonly content: Buffer
}

export async function setMatrix (t: Test, { size, env = {}, partBytes }: { size: number, env?: Record<string, string>, partBytes: number }): Promise<Matrix> {
  drawNoPauses(t)
  const b2 = await startB2(t)
  const common = { B2_MAX_ATTEMPTS: '2', B2_PART_BYTES: String(partBytes), ...env }
  return {
    patient: await setSplitStage(t, common, b2),
    hasty: await setSplitStage(t, { ...common, B2_STALL_TIMEOUT_MS: '500' }, b2),
    partBytes,
    content: bytes(size),
  }
}

/** B2 fails a file there until the client is answered: 201 or 202, and in the end B2 has it once, whole. */
export async function strike (t: Test, matrix: Matrix, row: FaultRow, at: At, way: Way): Promise<void> {
  await t.test(`${row.name}, ${at === 'complete' ? at : `part ${at}`}, ${way}`, async t => {
    const { partBytes, content } = matrix
    const stage = row.stalls === true ? matrix.hasty : matrix.patient
    const { b2, service } = stage
    for (let offset = 0; offset < content.byteLength; offset += MIB) bytes(16).copy(content, offset)
    const parts = Math.ceil(content.byteLength / partBytes)
    const upload = await begin(service, b2, content, { way, partBytes, acknowledged: Math.min(at === 'complete' ? parts : at, parts) - 1 })
    const fault = b2.fault({ ...row.fault, times: Infinity, ...(at === 'complete' ? { operation: 'CompleteMultipartUpload' } : { operation: 'UploadPart', part: at }) } as Fault)
    const answer = await upload.finish()
    t.ok(fault.applied > 0, 'there was a fault')
    b2.clearFaults()
    // A part whose answer was lost is found there when the file is joined, so that one need not be sent.
    const expected = at !== 'complete' && isApplied(row.fault) ? 'b2' : outcomeAt(row.always, at === 'complete' ? 'complete' : 'part')
    if (expected === 'b2') t.match(answer, { status: 201, body: { storage: 'b2' } }, JSON.stringify(answer.body))
    else {
      checkSplit(t, answer, content)
      t.match(answer.body.fallback_reason, { error_code: expected })
    }
    t.same(answer.body.track?.metadata, way === 'form' ? { after: 'the file' } : {})
    await promoteAll(stage)
    await isJoined(t, stage, { key: answer.body.track?.key, content })
    b2.reset()
    await rm(join(service.dir, 'tracks'), { recursive: true, force: true })
  })
}
