import t from 'tap'
import type { Fault } from '../../../emulator/index.ts'
import { isEmpty, isGoneHere, isNotFound, remove } from '../service/stored-files.ts'
import { setSplitStage } from './split.ts'

// Until they are released.
const ANSWER = { delayMs: Infinity }
const BODY = { bytesPerSecond: 1 }

const HOLDS = {
  'the look whether B2 has it': { operation: 'HeadObject', ...ANSWER },
  'the list of its parts': { operation: 'ListParts', ...ANSWER },
  'a part on its way': { operation: 'UploadPart', ...BODY },
  'a part that is done': { operation: 'UploadPart', ...ANSWER },
  'its receipt': { operation: 'PutObject', ...ANSWER },
  'the completion on its way': { operation: 'CompleteMultipartUpload', ...BODY },
  'the completion that is done': { operation: 'CompleteMultipartUpload', ...ANSWER },
} satisfies Record<string, Fault>

/** Deletes a split file while its join is held up there. */
export function deleteDuringJoin (name: keyof typeof HOLDS): void {
  const fault: Fault = HOLDS[name]
  t.test(`a split file that is deleted during its join is gone from then on: ${name}`, async t => {
    const { b2, service, uploads, split } = await setSplitStage(t)
    const file = await split()
    file.down.cancel()
    const { release } = b2.fault(fault)
    const held = b2.waitFor(fault.delayMs !== undefined && fault.operation !== 'HeadObject' ? 'applied' : 'request', record => record.fault === fault)
    const report = uploads.promote()
    await held
    const removed = remove(service, file.name)
    // Once the file is not here any more, the deletion waits for the join to end.
    await isGoneHere(service, file.name)
    release()
    t.equal((await removed).status, 204)
    await isNotFound(t, service, file.name)
    t.match(await report, { failed: 0, set_aside: 0, pending: 0 })
    await isEmpty(t, b2, service)
  })
}
