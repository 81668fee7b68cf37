import t from 'tap'
import type { FaultHandle } from '../../emulator/index.ts'
import { bytes, sha256 } from '../support/service/service.ts'
import { contentOf } from '../support/service/stored-files.ts'
import { begin, checkSplit, isJoined, MIB, PART, promoteAll, setSplitStage, SIZE } from '../support/split/split.ts'
import type { SplitFile, SplitStage } from '../support/split/split.ts'

t.test('parts that B2 acknowledged out of order are kept, and the one that failed between them is sent', async t => {
  const stage = await setSplitStage(t)
  const { b2, service, uploads } = stage
  const content = bytes(5 * PART + MIB)
  // Late enough that parts 3 and 4 are acknowledged before.
  const second = b2.fault({ operation: 'UploadPart', part: 2, status: 503, delayMs: 2_000, times: Infinity })
  const upload = await begin(service, b2, content, { acknowledged: 1 })
  await upload.sendTo(4 * PART + MIB)
  await service.log.until(({ event }) => event === 'b2.failed')
  const answer = await upload.finish()
  checkSplit(t, answer, content)
  t.same(answer.body.split, { b2_bytes: 3 * PART, local_bytes: 2 * PART + MIB }, 'B2 has parts 1, 3 and 4')
  second.cancel()
  t.match(await uploads.promote(), { promoted: 1, bytes: 2 * PART + MIB })
  await isJoined(t, stage, { key: answer.body.track.key, content })
})

/** Lets what was held back land when the join makes such a request. */
function landAt ({ b2 }: SplitStage, late: FaultHandle, operation: string, partNumber?: number): Promise<number> {
  return b2.waitFor('request', record => record.operation === operation && (partNumber === undefined || record.partNumber === partNumber)).then(() => late.land())
}

for (const moment of ['before', 'during', 'after'] as const) {
  t.test(`a part that failed lands ${moment} the join`, async t => {
    const stage = await setSplitStage(t)
    const { b2, uploads, split } = stage
    const file = await split({ acknowledged: 2, fault: { operation: 'UploadPart', part: 3, status: 503, times: Infinity, late: true } })
    t.ok(file.down.held > 0)
    file.down.cancel()
    if (moment === 'before') file.down.land()
    const landed = moment === 'during' ? landAt(stage, file.down, 'UploadPart', 3) : undefined
    const sent = b2.requests.length
    t.match(await uploads.promote(), { promoted: 1, pending: 0 })
    t.ok((await landed ?? 1) > 0)
    t.equal(b2.requests.slice(sent).some(({ operation, partNumber }) => operation === 'UploadPart' && partNumber === 3), moment !== 'before', 'it is sent unless B2 has it')
    if (moment === 'after') t.equal(file.down.land(), 0, 'there is nothing any more that it could land on')
    await isJoined(t, stage, file)
  })
}

for (const moment of ['before', 'HeadObject', 'ListParts', 'PutObject', 'CompleteMultipartUpload', 'after'] as const) {
  t.test(`a completion that failed lands: ${moment}`, async t => {
    const stage = await setSplitStage(t)
    const { b2, uploads, split } = stage
    const file = await split({ acknowledged: 3, fault: { operation: 'CompleteMultipartUpload', status: 503, times: Infinity, late: true } })
    t.ok(file.down.held > 0)
    file.down.cancel()
    if (moment === 'before') t.equal(file.down.land(), 1)
    const landed = moment === 'before' || moment === 'after' ? undefined : landAt(stage, file.down, moment)
    t.match(await uploads.promote(), { promoted: 1, pending: 0 })
    t.equal(await landed ?? 1, 1)
    if (moment === 'after') t.equal(file.down.land(), 0)
    await isJoined(t, stage, file)
    t.equal(b2.versions().length, 2, 'the file and its receipt')
  })
}

for (const at of ['the upload', 'the join'] as const) {
  for (const action of ['lose-answer', 'error-in-200'] as const) {
    t.test(`a completion of ${at} is carried out, ${action}, and B2 does not tell`, async t => {
      const stage = await setSplitStage(t)
      const { b2, service, uploads, split } = stage
      const blind = { operation: 'CompleteMultipartUpload', action, times: Infinity, ...(action === 'error-in-200' ? { apply: true } : {}) } as const
      let file: SplitFile & { readonly name: string }
      if (at === 'the upload') {
        const content = bytes(SIZE)
        const upload = await begin(service, b2, content)
        b2.fault(blind)
        b2.fault({ operation: 'HeadObject', status: 503, times: Infinity })
        const answer = await upload.finish()
        checkSplit(t, answer, content)
        t.same(answer.body.split, { b2_bytes: SIZE, local_bytes: 0 }, 'B2 has acknowledged all parts')
        file = { content, key: answer.body.track.key, name: answer.headers.get('location')!.split('/').at(-1)! }
      } else {
        const waiting = await split()
        waiting.down.cancel()
        file = waiting
        b2.fault(blind)
        b2.fault({ operation: 'HeadObject', after: 1, status: 503, times: Infinity })
        t.match(await uploads.promote(), { promoted: 0, failed: 1, pending: 1 })
      }
      t.equal(b2.versions().filter(({ key }) => key === file.key).length, 1, 'it was carried out')
      t.equal(await contentOf(service, file.name), sha256(file.content), 'it can be read')
      b2.clearFaults()
      await promoteAll(stage)
      await isJoined(t, stage, file)
    })
  }
}
