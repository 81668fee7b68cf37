import { createHash } from 'node:crypto'
import { ListPartsCommand } from '@aws-sdk/client-s3'
import type { Test } from 'tap'
import { bytes } from '../../support/service/service.ts'
import { isAsB2 } from '../differences.ts'
import { PART, refusal, scene } from '../scene.ts'
import type { Target } from '../target.ts'

const md5 = (content: Uint8Array): Buffer => createHash('md5').update(content).digest()

/** What the service relies on when it uploads in parts. */
export async function partProtocol (t: Test, target: Target): Promise<void> {
  await scene(t, target, 'parts become an object with the type and metadata of its beginning', async (t, { s3, prefix }) => {
    const key = `${prefix}object`
    const parts = [bytes(PART), bytes(PART), bytes(1)]
    const uploadId = await s3.begin(key, { ContentType: 'audio/flac', Metadata: { filename: 'a%20b.flac' } })
    t.match(await refusal(s3.head(key)), { status: 404 }, 'nothing of it shows yet')
    t.same(await s3.unfinished(prefix), [{ key, uploadId }])
    const tags: [number, string][] = []
    for (const index of [2, 0, 1]) {
      const tag = await s3.part(key, uploadId, index + 1, parts[index]!)
      t.equal(tag, `"${md5(parts[index]!).toString('hex')}"`)
      tags.push([index + 1, tag])
    }
    const done = await s3.complete(key, uploadId, tags.sort(([a], [b]) => a - b))
    const ETag = `"${md5(Buffer.concat(parts.map(md5))).toString('hex')}-3"`
    t.match(done, { Bucket: s3.bucket, Key: key, ETag })
    t.match(await s3.head(key), { ContentLength: 2 * PART + 1, ContentType: 'audio/flac', Metadata: { filename: 'a%20b.flac' }, ETag })
    t.ok(Buffer.concat(parts).equals(await s3.bytes(key)))
    const { Body, ContentRange } = await s3.get(key, { Range: `bytes=${PART - 1}-${2 * PART}`, IfMatch: ETag })
    t.equal(ContentRange, `bytes ${PART - 1}-${2 * PART}/${2 * PART + 1}`)
    t.ok(Buffer.concat(parts).subarray(PART - 1).equals(Buffer.from(await Body!.transformToByteArray())), 'a range over all parts')
    t.same(await s3.all(prefix), ['object'])
  })

  await scene(t, target, 'a part that is sent again replaces the first', async (t, { s3, prefix }) => {
    const uploadId = await s3.begin(`${prefix}object`)
    await s3.part(`${prefix}object`, uploadId, 1, 'first')
    const tag = await s3.part(`${prefix}object`, uploadId, 1, 'again')
    await s3.complete(`${prefix}object`, uploadId, [[1, tag]])
    t.equal((await s3.bytes(`${prefix}object`)).toString(), 'again')
  })

  await scene(t, target, 'what is not right is not completed, and the upload stays', async (t, { s3, prefix }) => {
    const key = `${prefix}object`
    const uploadId = await s3.begin(key)
    const [one, two] = [await s3.part(key, uploadId, 1, bytes(PART)), await s3.part(key, uploadId, 2, bytes(PART))]
    const other = '"00000000000000000000000000000000"'
    t.match(await refusal(s3.complete(key, uploadId, [[2, two], [1, one]])), { name: 'InvalidPartOrder', status: 400 })
    t.match(await refusal(s3.complete(key, uploadId, [[1, one], [2, other]])), { name: 'InvalidPart', status: 400 })
    t.match(await refusal(s3.complete(key, uploadId, [[1, one], [3, two]])), { name: 'InvalidPart', status: 400 })
    t.match(await refusal(s3.complete(key, uploadId, [])), { name: 'MalformedXML', status: 400 })
    for (const number of [0, 10_001]) t.match(await refusal(s3.part(key, uploadId, number, 'x')), { name: 'InvalidArgument', status: 400 })
    t.same(await s3.all(prefix), ['unfinished object'])
    await s3.complete(key, uploadId, [[1, one], [2, two]])
    t.same(await s3.all(prefix), ['object'])
  })

  await scene(t, target, 'parts have to be large, but for the last', async (t, { s3, prefix }) => {
    const key = `${prefix}object`
    const uploadId = await s3.begin(key)
    const tags = [await s3.part(key, uploadId, 1, bytes(4_999_999)), await s3.part(key, uploadId, 2, 'x')] as const
    t.match(await refusal(s3.complete(key, uploadId, [[1, tags[0]], [2, tags[1]]])), { name: 'EntityTooSmall', status: 400 })
    const enough = await s3.part(key, uploadId, 1, bytes(5_000_000))
    isAsB2(t, target, 'least-part-is-5-mib', await refusal(s3.complete(key, uploadId, [[1, enough], [2, tags[1]]])), { name: 'accepted' })
  })

  await scene(t, target, 'an upload that was completed or aborted is over', async (t, { s3, prefix }) => {
    const key = `${prefix}object`
    const completed = await s3.begin(key)
    const tag = await s3.part(key, completed, 1, 'x')
    await s3.complete(key, completed, [[1, tag]])
    isAsB2(t, target, 'completes-again', await refusal(s3.complete(key, completed, [[1, tag]])), { name: 'NoSuchUpload', status: 404 })
    const late = await refusal(s3.abort(key, completed))
    t.match(late, { status: 404 })
    isAsB2(t, target, 'no-such-key-for-uploads', late, { name: 'NoSuchUpload' })
    isAsB2(t, target, 'lists-parts-of-what-is-complete', await refusal(s3.parts(key, completed)), { name: 'NoSuchUpload', status: 404 })

    const aborted = await s3.begin(key)
    await s3.part(key, aborted, 1, 'y')
    t.match(await s3.abort(key, aborted), { $metadata: { httpStatusCode: 204 } })
    t.match(await refusal(s3.abort(key, aborted)), { name: 'NoSuchUpload', status: 404 })
    t.match(await refusal(s3.part(key, aborted, 2, 'y')), { name: 'NoSuchUpload', status: 404 })
    t.match(await refusal(s3.parts(key, aborted)), { name: 'NoSuchUpload', status: 404 })
    t.match(await refusal(s3.complete(key, aborted, [[1, tag]])), { name: 'NoSuchUpload', status: 404 })
    t.equal((await s3.bytes(key)).toString(), 'x')
    t.same(await s3.all(prefix), ['object'])
  })

  await scene(t, target, 'unfinished uploads and their parts are listed, page by page', async (t, { s3, prefix }) => {
    const begun: { key: string, uploadId: string }[] = []
    for (const name of ['b', 'a', 'a', 'c']) begun.push({ key: prefix + name, uploadId: await s3.begin(prefix + name) })
    const seen: { key: string, uploadId: string }[] = []
    let from: object | undefined = {}
    while (from !== undefined && seen.length <= begun.length) {
      const page: Awaited<ReturnType<typeof s3.unfinishedPage>> = await s3.unfinishedPage({ Prefix: prefix, MaxUploads: 2, ...from })
      t.ok((page.Uploads ?? []).length <= 2)
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        seen.push({ key: Key!, uploadId: UploadId! })
        t.ok(Math.abs(Initiated!.getTime() - Date.now()) < 600_000, 'with the time of their beginning')
      }
      from = page.IsTruncated === true ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker } : undefined
    }
    t.same(seen.map(({ key }) => key.slice(prefix.length)), ['a', 'a', 'b', 'c'])
    t.same(new Set(seen), new Set(begun))

    const [{ key, uploadId }] = begun as [typeof begun[0]]
    for (const number of [3, 1, 2]) await s3.part(key, uploadId, number, `part ${number}`)
    const numbers: number[] = []
    let PartNumberMarker: string | undefined
    do {
      const page = await s3.client.send(new ListPartsCommand({ Bucket: s3.bucket, Key: key, UploadId: uploadId, MaxParts: 2, PartNumberMarker }))
      for (const { PartNumber, Size, ETag, LastModified } of page.Parts ?? []) {
        numbers.push(PartNumber!)
        t.equal(Size, 6)
        t.equal(ETag, `"${md5(Buffer.from(`part ${PartNumber}`)).toString('hex')}"`)
        t.ok(Math.abs(LastModified!.getTime() - Date.now()) < 600_000)
      }
      PartNumberMarker = page.IsTruncated === true ? page.NextPartNumberMarker : undefined
    } while (PartNumberMarker !== undefined)
    t.same(numbers, [1, 2, 3])
  })
}
