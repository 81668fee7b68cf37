import t from 'tap'
import type { Fault } from '../../../emulator/index.ts'
import { isEmpty, isNotFound, remove } from '../service/stored-files.ts'
import { setSplitStage } from './split.ts'

/** Longer than a deletion takes; where it is not, the join has only gone on. */
const HELD_MS = 1_000

const HOLDS = {
  'the look whether B2 has it': { operation: 'HeadObject', delayMs: HELD_MS },
  'the list of its parts': { operation: 'ListParts', delayMs: HELD_MS },
  'a part on its way': { operation: 'UploadPart', bytesPerSecond: 5_000_000 },
  'a part that is done': { operation: 'UploadPart', delayMs: HELD_MS },
  'its receipt': { operation: 'PutObject', delayMs: HELD_MS },
  'the completion on its way': { operation: 'CompleteMultipartUpload', bytesPerSecond: 500 },
  'the completion that is done': { operation: 'CompleteMultipartUpload', delayMs: HELD_MS },
} satisfies Record<string, Fault>

/** Deletes a split file while its join is held up there. */
export function deleteDuringJoin (name: keyof typeof HOLDS): void {
  const fault: Fault = HOLDS[name]
  t.test(`a split file that is deleted during its join is gone from then on: ${name}`, async t => {
    const { b2, service, uploads, split } = await setSplitStage(t)
    const file = await split()
    file.down.cancel()
    b2.fault(fault)
    const held = b2.waitFor('request', record => record.fault === fault)
    const report = uploads.promote()
    await held
    t.equal((await remove(service, file.name)).status, 204)
    await isNotFound(t, service, file.name)
    t.match(await report, { failed: 0, set_aside: 0, pending: 0 })
    await isEmpty(t, b2, service)
  })
}
