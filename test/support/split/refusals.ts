import t from 'tap'
import type { Fault } from '../../../emulator/index.ts'
import { FAULT_ROWS } from '../faults/fault-rows.ts'
import { CALM } from '../promotion/promotion.ts'
import { b2Env, bytes, startB2, startService } from '../service/service.ts'
import { isEmpty } from '../service/stored-files.ts'
import { begin, checkSplit, isJoined, OUTGROWN, promoteAll, setSplitStage, SIZE } from './split.ts'

const STEPS = {
  'a part': { acknowledged: 1, step: { operation: 'UploadPart', part: 2, times: Infinity } },
  'the completion': { acknowledged: 3, step: { operation: 'CompleteMultipartUpload', times: Infinity } },
} as const

export type Step = keyof typeof STEPS

const faultOf = (name: string): Fault => FAULT_ROWS.find(row => row.name === name)!.fault

/** After these B2 will never join what it has. */
export function endsParts (name: string, at: Step): void {
  const { acknowledged, step } = STEPS[at]
  t.test(`${name} at ${at}: what B2 has will never be joined, so the client begins again, and nothing is left`, async t => {
    const { b2, service } = await setSplitStage(t)
    const upload = await begin(service, b2, bytes(SIZE), { acknowledged })
    const fault = b2.fault({ ...faultOf(name), ...step } as Fault)
    const { status, headers, body } = await upload.finish()
    t.match({ status, body }, { status: 503, body: { error_code: 'fallback_impossible', detail: /can't be joined with the rest/ } })
    t.ok(Number(headers.get('retry-after')) > 0)
    fault.cancel()
    await isEmpty(t, b2, service)
  })
}

/** These leave the parts there. */
export function leavesParts (name: string, at: Step): void {
  const { acknowledged } = STEPS[at]
  t.test(`${name} at ${at}: the file is split, and joined after a restart with what was missing`, async t => {
    const b2 = await startB2(t)
    const first = await startService(t, { ...b2Env(b2), ...CALM, ...OUTGROWN, LOCAL_STORAGE_DIR: t.testdir() })
    const content = bytes(SIZE)
    const upload = await begin(first, b2, content, { acknowledged })
    const fault = b2.fault({ ...faultOf(name), times: Infinity })
    const answer = await upload.finish()
    checkSplit(t, answer, content)
    await first.app.uploads.promote()
    t.match(await first.app.uploads.status(), { pending_promotions: 1 }, 'it waits as long as the trouble lasts')
    await first.app.close()
    fault.cancel()
    const { service, uploads } = await setSplitStage(t, { LOCAL_STORAGE_DIR: first.dir }, b2)
    await promoteAll({ uploads })
    await isJoined(t, { b2, service }, { key: answer.body.track.key, content })
  })
}

export function vanishes (at: Step): void {
  const { acknowledged } = STEPS[at]
  t.test(`the unfinished upload is gone at ${at}: the client begins again, and nothing is left`, async t => {
    const { b2, service } = await setSplitStage(t)
    const upload = await begin(service, b2, bytes(SIZE), { acknowledged })
    if (acknowledged === 1) b2.endUnfinishedUploads()
    else b2.on('request', ({ operation }) => { if (operation === 'CompleteMultipartUpload') b2.endUnfinishedUploads() })
    const { status, body } = await upload.finish()
    t.match({ status, body }, { status: 503, body: { error_code: 'fallback_impossible' } })
    await isEmpty(t, b2, service)
  })
}
