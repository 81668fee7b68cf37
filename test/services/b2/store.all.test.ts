import t from 'tap'
import { S3Client } from '@aws-sdk/client-s3'
import { PartFeed, partUpload } from '../../../services/b2/part-feed.ts'
import { PART, setB2Stage } from '../../support/b2/stage.ts'
import { settled } from '../../support/faults/fault-matrix.ts'
import { FAULT_ROWS, outcomeAt } from '../../support/faults/fault-rows.ts'
import { bytes, sha256, startB2 } from '../../support/service/service.ts'
import { INFO, putParts } from '../../support/b2/store.ts'

t.test('begin gives every failure its code, whichever request meets it', async t => {
  const { b2, store } = await setB2Stage(t, { maxAttempts: 1 })
  const content = bytes(2 * PART)
  for (const step of ['create', 'part', 'complete'] as const) {
    const operation = ({ create: 'CreateMultipartUpload', part: 'UploadPart', complete: 'CompleteMultipartUpload' } as const)[step]
    for (const { name, fault, always } of FAULT_ROWS.filter(({ wordsOnly }) => wordsOnly === true)) {
      b2.fault({ operation, times: Infinity, ...fault })
      const mayBeStored = step === 'complete' && fault.status === 500 // who answers so may have done it
      t.match(await putParts(store, content), { ok: false, error_code: outcomeAt(always, step), attempts: 1, mayBeStored }, `${step}: ${name}`)
      await settled(b2, () => b2.unfinishedUploads().length === 0)
      t.same(b2.versions(), [])
      b2.reset()
    }
  }
})

t.test('without that worker the public path stores the same bytes', async t => {
  const b2 = await startB2(t)
  const client = new S3Client({
    endpoint: b2.endpoint, region: b2.region, credentials: b2.credentials, forcePathStyle: true, requestChecksumCalculation: 'WHEN_REQUIRED',
  })
  t.teardown(() => { client.destroy() })
  for (const direct of [true, false]) {
    for (const size of [1, PART, PART + 1, 4 * PART - 1]) {
      const content = bytes(size)
      const feed = new PartFeed()
      const done = partUpload({ client, params: { Bucket: b2.bucket, Key: INFO.key }, partSize: PART, queueSize: 4 }, feed, direct).done()
      for (let offset = 0; offset < size; offset += PART) await feed.push(content.subarray(offset, offset + PART), offset + PART >= size)
      await done
      t.match(b2.objects(), [{ size, sha256: sha256(content) }], `${size} bytes, direct ${direct}`)
      const parts = b2.requests.filter(({ operation }) => operation === 'UploadPart')
      if (size > PART) t.match(parts.map(({ partNumber }) => partNumber).sort(), Array.from({ length: Math.ceil(size / PART) }, (_, index) => index + 1))
      b2.reset()
    }
  }
})
