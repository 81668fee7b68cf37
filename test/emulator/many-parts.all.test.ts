import t from 'tap'
import { CreateMultipartUploadCommand, ListPartsCommand, UploadPartCommand } from '@aws-sdk/client-s3'
import { setUp } from '../support/b2/emulator-client.ts'

t.test('lists at most 1,000 parts at once', async (t) => {
  const { client, Bucket } = await setUp(t)
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key: 'k' }))
  const upload = { Bucket, Key: 'k', UploadId }
  t.match(await client.send(new ListPartsCommand(upload)), { IsTruncated: false, MaxParts: 1000, Parts: undefined })
  for (let first = 1; first <= 1001; first += 7) {
    await Promise.all(Array.from({ length: 7 }, (_, index) => client.send(new UploadPartCommand({ ...upload, PartNumber: first + index, Body: 'x' }))))
  }
  const page = await client.send(new ListPartsCommand({ ...upload, MaxParts: 5000 }))
  t.match(page, { IsTruncated: true, MaxParts: 1000, NextPartNumberMarker: '1000' })
  t.same(page.Parts?.map(({ PartNumber }) => PartNumber), Array.from({ length: 1000 }, (_, index) => index + 1))
  const last = await client.send(new ListPartsCommand({ ...upload, PartNumberMarker: page.NextPartNumberMarker }))
  t.match(last, { IsTruncated: false, PartNumberMarker: '1000', NextPartNumberMarker: undefined, Parts: [{ PartNumber: 1001 }] })
  t.equal(last.Parts?.length, 1)
})
