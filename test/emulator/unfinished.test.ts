import { createHash, randomBytes } from 'node:crypto'
import t from 'tap'
import type { Test } from 'tap'
import {
  AbortMultipartUploadCommand, CompleteMultipartUploadCommand, CreateMultipartUploadCommand, ListPartsCommand, UploadPartCommand,
} from '@aws-sdk/client-s3'
import { clientOf, failureOf, setUp } from '../support/b2/emulator-client.ts'
import { sha256 } from '../support/service/service.ts'

const tagOf = (part: string | Buffer): string => `"${createHash('md5').update(part).digest('hex')}"`
const noSuchUpload = { name: 'NoSuchUpload', status: 404 }

async function begin (t: Test, Key = 'k') {
  const { emulator, client, Bucket } = await setUp(t)
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }))
  return { emulator, client, upload: { Bucket, Key, UploadId } }
}

t.test('continues an upload for another client, from what its parts are', async (t) => {
  const { emulator, client, upload } = await begin(t)
  const parts = [randomBytes(5_000_000), randomBytes(5_000_000), randomBytes(3)]
  const send = (by: typeof client, PartNumber: number) => by.send(new UploadPartCommand({ ...upload, PartNumber, Body: parts[PartNumber - 1]! }))
  await send(client, 3)
  await send(client, 1)
  client.destroy()

  const other = clientOf(emulator)
  t.teardown(() => other.destroy())
  const list = async () => (await other.send(new ListPartsCommand(upload))).Parts ?? []
  const partIs = (number: number) => ({ PartNumber: number, Size: parts[number - 1]!.length, ETag: tagOf(parts[number - 1]!), LastModified: Date })
  t.match(await list(), [partIs(1), partIs(3)])
  await send(other, 2)
  const Parts = await list()
  t.match(Parts, [partIs(1), partIs(2), partIs(3)])
  await other.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: Parts.map(({ PartNumber, ETag }) => ({ PartNumber, ETag })) } }))
  t.match(emulator.objects(), [{ key: 'k', sha256: sha256(Buffer.concat(parts)) }])
  t.match(await failureOf(list()), noSuchUpload)
})

t.test('refuses a marker that is no part number', async (t) => {
  const { client, upload } = await begin(t)
  t.match(await failureOf(client.send(new ListPartsCommand({ ...upload, PartNumberMarker: 'x' }))), { name: 'InvalidArgument', status: 400 })
})

t.test('lists the parts of its own uploads to keys that may write, and no others', async (t) => {
  const { client, upload } = await begin(t)
  t.match(await failureOf(client.send(new ListPartsCommand({ ...upload, UploadId: 'never-begun' }))), noSuchUpload)
  t.match(await failureOf(client.send(new ListPartsCommand({ ...upload, Key: 'other' }))), noSuchUpload)
  const reader = await setUp(t, { capabilities: ['listBuckets', 'listFiles', 'readFiles'] })
  t.match(await failureOf(reader.client.send(new ListPartsCommand(upload))), { name: 'AccessDenied', status: 403, message: 'not entitled' })
})

t.test('ends unfinished uploads behind the client\'s back', async (t) => {
  const { emulator, client, upload } = await begin(t)
  const { ETag } = await client.send(new UploadPartCommand({ ...upload, PartNumber: 1, Body: 'x' }))
  for (const Key of ['k', 'kept']) await client.send(new CreateMultipartUploadCommand({ Bucket: upload.Bucket, Key }))
  t.equal(emulator.endUnfinishedUploads('unknown'), 0)
  t.equal(emulator.endUnfinishedUploads('k'), 2)
  t.match(emulator.unfinishedUploads().map(({ key }) => key), ['kept'])
  for (const command of [
    new UploadPartCommand({ ...upload, PartNumber: 2, Body: 'x' }),
    new ListPartsCommand(upload),
    new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: [{ PartNumber: 1, ETag }] } }),
    new AbortMultipartUploadCommand(upload),
  ]) t.match(await failureOf(client.send(command as UploadPartCommand)), noSuchUpload, command.constructor.name)
  t.same(emulator.versions(), [])
  t.equal(emulator.endUnfinishedUploads(), 1)
  t.same(emulator.unfinishedUploads(), [])
})
