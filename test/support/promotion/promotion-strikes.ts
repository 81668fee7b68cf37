import { setTimeout as wait } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Operation } from '../../../emulator/index.ts'
import { outcomeAt, STEP_ROWS } from '../faults/fault-rows.ts'
import type { FaultRow, Step } from '../faults/fault-rows.ts'
import { fallBack, filesIn, isPromoted, KIB, MIB, setPromotionStage } from './promotion.ts'
import type { PromotionStage } from './promotion.ts'

const OPERATIONS: Record<Step, Operation> = {
  put: 'PutObject', create: 'CreateMultipartUpload', part: 'UploadPart', complete: 'CompleteMultipartUpload',
}

/** All that can go wrong at a step of a promotion, one after the other: the file stays until B2 has it, and has it once. */
export async function strikePromotions (t: Test, step: Step): Promise<void> {
  for (const stalls of [false, true]) {
    const stage = await setPromotionStage(t, { B2_MAX_ATTEMPTS: '2', B2_STALL_TIMEOUT_MS: stalls ? '400' : '10000' })
    for (const row of STEP_ROWS.filter(row => (row.stalls === true) === stalls)) {
      await t.test(row.name, t => strike(t, stage, row, step))
    }
  }
}

async function strike (t: Test, stage: PromotionStage, row: FaultRow, step: Step): Promise<void> {
  const { b2, service, uploads } = stage
  const stored = await fallBack(t, b2, service, step === 'put' ? 100 * KIB : 6 * MIB)
  const lines = service.log.of('promotion.failed').length
  const fault = b2.fault({ operation: OPERATIONS[step], ...row.fault, times: Infinity })
  const report = await uploads.promote()
  fault.cancel()
  const outcome = outcomeAt(row.always, step)
  if (outcome === 'b2') {
    t.match(report, { promoted: 1, failed: 0, pending: 0 })
  } else {
    t.match(report, { promoted: 0, failed: 1, pending: 1 })
    t.match(service.log.of('promotion.failed').slice(lines), [{ level: 40, key: stored.key, error_code: outcome, duration_ms: Number }])
    t.ok((await service.localFiles()).includes(stored.key), 'the file is still here')
  }
  if (outcome === 'invalid_request') t.match(await uploads.promote(), { skipped: 1 }, 'what was refused as such is left out once')
  t.match(await uploads.promote(), { pending: 0 })
  await cleanedUp(stage)
  await isPromoted(t, b2, service, [stored])
  b2.reset()
}

/** What failures left in B2 has been removed, and the notes of it here. */
export async function cleanedUp ({ b2, service }: Pick<PromotionStage, 'b2' | 'service'>): Promise<void> {
  const doubles = (): boolean => b2.versions().filter(({ key }) => !key.endsWith('.receipt.json')).length > filesIn(b2).length
  while (b2.unfinishedUploads().length > 0 || doubles() || (await service.localFiles()).length > 0) await wait(10)
}
