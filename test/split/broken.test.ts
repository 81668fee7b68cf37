import { UploadPartCommand } from '@aws-sdk/client-s3'
import t from 'tap'
import { clientOf } from '../support/b2/emulator-client.ts'
import { samplesOfNames } from '../support/split/samples.ts'
import { bytes, inB2, settledFiles } from '../support/service/service.ts'
import { contentOf, isEmpty, isNotFound, receiptOf, remove } from '../support/service/stored-files.ts'
import { beginFailed, PART, setSplitStage, SIZE } from '../support/split/split.ts'
import type { Split, SplitStage } from '../support/split/split.ts'

const ENDS: readonly { readonly name: string, readonly detail: RegExp, end (stage: SplitStage, file: Split): Promise<void> }[] = [
  {
    name: 'the unfinished upload was ended',
    detail: /does not have the unfinished upload any more/,
    async end ({ b2 }) { b2.endUnfinishedUploads() },
  },
  {
    name: 'a part was replaced',
    detail: /does not have part 1 of this file any more, or has another one in its place/,
    async end ({ b2 }, { key }) {
      const client = clientOf(b2)
      await client.send(new UploadPartCommand({ Bucket: b2.bucket, Key: key, UploadId: b2.unfinishedUploads()[0]!.uploadId, PartNumber: 1, Body: bytes(PART) }))
      client.destroy()
    },
  },
]

for (const { name, detail, end } of ENDS) {
  t.test(`${name} behind the service's back: the file is set aside with its receipt, and never a wrong object`, async t => {
    const stage = await setSplitStage(t)
    const { b2, service, uploads, split } = stage
    const file = await split()
    const { body: receipt } = await receiptOf(service, file.name)
    const before = await service.localFiles()
    file.down.cancel()
    await end(stage, file)
    t.match(await uploads.promote(), { promoted: 0, failed: 0, set_aside: 1, pending: 1 })
    // The first is the try before the client was answered.
    t.match(service.log.of('promotion.failed').slice(1), [{ level: 50, key: file.key, set_aside: true, error_code: 'parts_gone', detail, hints: [String], duration_ms: Number }])
    t.same(await samplesOfNames(service, 'split_files_broken_total', 'promotions_pending', 'promotions_total{result="set_aside"}'), {
      split_files_broken_total: 1, promotions_pending: 1, 'promotions_total{result="set_aside"}': 1,
    })
    t.same((await settledFiles(service)).filter(path => before.includes(path)), before, 'nothing is removed')
    t.same(inB2(b2).files, [])
    t.same((await receiptOf(service, file.name)).body, receipt)
    t.equal(await contentOf(service, file.name), 503)

    const requests = b2.requests.length
    t.match(await uploads.promote(), { set_aside: 1, pending: 1 })
    t.equal(b2.requests.length, requests, 'it is not tried again')
    t.match(await uploads.promote({ retrySetAside: true }), { promoted: 0, set_aside: 1, pending: 1 }, 'unless somebody asks for it')
    t.same(inB2(b2).files, [])

    t.equal((await remove(service, file.name)).status, 204)
    await isNotFound(t, service, file.name)
    await isEmpty(t, b2, service)
  })
}

for (const { name, end } of ENDS) {
  t.test(`${name} while the client still sends: it is told to begin again, and nothing is left`, async t => {
    const stage = await setSplitStage(t)
    const { b2, service } = stage
    const content = bytes(SIZE)
    const upload = await beginFailed({ b2, service }, content)
    await end(stage, { key: b2.unfinishedUploads()[0]!.key } as Split)
    const { status, headers, body } = await upload.finish()
    t.match({ status, body }, { status: 503, body: { error_code: 'fallback_impossible', detail: /; then: B2 does not have / } })
    t.ok(Number(headers.get('retry-after')) > 0)
    t.match(service.log.of('upload.failed'), [{ level: 50, error_code: 'fallback_impossible' }])
    t.same(service.log.of('upload.stored'), [])
    t.same(await samplesOfNames(service, 'promotions_pending', 'split_files_broken_total'), { promotions_pending: 0, split_files_broken_total: 0 })
    await isEmpty(t, b2, service)
  })
}
