import { createHash } from 'node:crypto'
import type { Test } from 'tap'
import { bytes } from '../../support/service/service.ts'
import { isAsB2 } from '../differences.ts'
import { refusal, scene } from '../scene.ts'
import type { Target } from '../target.ts'

const ACCEPTED = { name: 'accepted' }

/** What the service relies on when it writes and reads objects, asked for by a client of its own. */
export async function objectProtocol (t: Test, target: Target): Promise<void> {
  await scene(t, target, 'an object has the bytes, the type, the metadata and the ETag it was written with', async (t, { s3, prefix }) => {
    for (const size of [0, 1, 100_000]) {
      const content = bytes(size)
      const key = `${prefix}${size}`
      const ETag = `"${createHash('md5').update(content).digest('hex')}"`
      t.match(await s3.put(key, content, { ContentType: 'audio/mpeg', Metadata: { name: 'a%20b', sign: '!"$&()*,/:;<=>?@[]^_`{|}~' } }), { ETag })
      const known = { ContentLength: size, ETag, ContentType: 'audio/mpeg', Metadata: { name: 'a%20b', sign: '!"$&()*,/:;<=>?@[]^_`{|}~' } }
      const head = await s3.head(key)
      t.match(head, known)
      t.ok(Math.abs(head.LastModified!.getTime() - Date.now()) < 600_000)
      t.match(await s3.get(key), known)
      t.ok(content.equals(await s3.bytes(key)), `${size} bytes`)
    }
  })

  await scene(t, target, 'metadata headers of 2,048 bytes are taken, and so are 7,000', async (t, { s3, prefix }) => {
    const metadata = (total: number): Record<string, string> =>
      ({ a: 'x'.repeat(total - 20 - 'x-amz-meta-a'.length), b: 'y'.repeat(20 - 'x-amz-meta-b'.length) })
    await s3.put(`${prefix}object`, 'x', { Metadata: metadata(2_048) })
    t.match((await s3.head(`${prefix}object`)).Metadata, metadata(2_048))
    isAsB2(t, target, 'refuses-long-metadata', await refusal(s3.put(`${prefix}object`, 'x', { Metadata: metadata(7_000) })), ACCEPTED)
    const beyond = await refusal(s3.put(`${prefix}other`, 'x', { Metadata: { a: 'x'.repeat(7_100) } }))
    isAsB2(t, target, 'refuses-long-metadata', beyond, { name: 'MetadataTooLarge', status: 400 })
  })

  await scene(t, target, 'keys are taken as they are', async (t, { s3, prefix }) => {
    const keys = ['a b+c&d=e?f#g', 'Ünïcödé 曲 🎵', '100%25.mp3', "it's (1) *!~", 'dir/../up', 'a//b', 'x'.repeat(700)]
    for (const key of keys) await s3.put(prefix + key, key)
    for (const key of keys) t.equal((await s3.bytes(prefix + key)).toString(), key)
    t.same((await s3.versions(prefix)).map(({ key }) => key.slice(prefix.length)).sort(), keys.toSorted())
  })

  await scene(t, target, 'keys have 1,024 bytes at most', async (t, { s3, prefix }) => {
    isAsB2(t, target, 'refuses-long-keys', await refusal(s3.put(prefix + 'x'.repeat(1_024 - prefix.length), 'x')), ACCEPTED)
    t.match(await refusal(s3.put(prefix + 'x'.repeat(1_025 - prefix.length), 'x')), { status: 400 })
  })

  await scene(t, target, 'ranges', async (t, { s3, prefix }) => {
    const content = bytes(1_000)
    await s3.put(`${prefix}object`, content)
    await s3.put(`${prefix}empty`, '')
    const given: [range: string, first: number, last: number][] = [
      ['bytes=0-0', 0, 0], ['bytes=10-19', 10, 19], ['bytes=990-', 990, 999], ['bytes=990-5000', 990, 999], ['bytes=-5', 995, 999], ['bytes=-5000', 0, 999],
    ]
    for (const [Range, first, last] of given) {
      const { ContentRange, ContentLength, Body, $metadata } = await s3.get(`${prefix}object`, { Range })
      t.same([$metadata.httpStatusCode, ContentRange, ContentLength], [206, `bytes ${first}-${last}/1000`, last - first + 1], Range)
      t.ok(content.subarray(first, last + 1).equals(Buffer.from(await Body!.transformToByteArray())))
    }
    for (const Range of ['bytes=1000-', 'bytes=1000-1001', 'bytes=-0']) {
      t.match(await refusal(s3.get(`${prefix}object`, { Range })), { name: 'InvalidRange', status: 416 }, Range)
    }
    t.match(await refusal(s3.get(`${prefix}empty`, { Range: 'bytes=0-0' })), { name: 'InvalidRange', status: 416 })
  })

  await scene(t, target, 'conditional reads', async (t, { s3, prefix }) => {
    const { ETag } = await s3.put(`${prefix}object`, 'content')
    const other = '"00000000000000000000000000000000"'
    for (const read of [s3.get.bind(s3), s3.head.bind(s3)]) {
      t.match(await read(`${prefix}object`, { IfMatch: ETag }), { ETag, ContentLength: 7 })
      t.match(await refusal(read(`${prefix}object`, { IfMatch: other })), { status: 412 })
      t.match(await read(`${prefix}object`, { IfNoneMatch: other }), { ETag })
      t.match(await refusal(read(`${prefix}object`, { IfNoneMatch: ETag })), { status: 304 })
    }
    t.match(await s3.get(`${prefix}object`, { IfMatch: ETag, Range: 'bytes=1-2' }), { ContentRange: 'bytes 1-2/7' })
  })

  await scene(t, target, 'what is not there', async (t, { s3, prefix }) => {
    t.match(await refusal(s3.get(`${prefix}missing`)), { name: 'NoSuchKey', status: 404 })
    t.match(await refusal(s3.head(`${prefix}missing`)), { name: 'NotFound', status: 404 })
    t.match(await s3.delete(`${prefix}missing`), { $metadata: { httpStatusCode: 204 } })
    isAsB2(t, target, 'hides-what-is-not-there', { left: await s3.all(prefix) }, { left: { length: 0 } })
    await s3.put(`${prefix}object`, 'x')
    t.match(await refusal(s3.get(`${prefix}obj`)), { name: 'NoSuchKey' }, 'nor is the beginning of a name')
  })

  await scene(t, target, 'what is sent with a wrong hash is refused', async (t, { s3, prefix }) => {
    const ContentMD5 = createHash('md5').update('two').digest('base64')
    t.match(await refusal(s3.put(`${prefix}object`, 'one', { ContentMD5 })), { name: 'BadDigest', status: 400 })
    t.same(await s3.all(prefix), [])
  })

  await scene(t, target, 'headers of the SDK that B2 does not know are refused', async (t, { s3, prefix }) => {
    t.match(await refusal(s3.put(`${prefix}tagging`, 'x', { Tagging: 'a=b' })), { name: 'NotImplemented', status: 501 })
    t.match(await refusal(s3.put(`${prefix}conditional`, 'x', { IfNoneMatch: '*' })), { name: 'NotImplemented', status: 501 })
    t.same(await s3.all(prefix), [])
    const checksum = await refusal(s3.put(`${prefix}checksum`, 'x', { ChecksumAlgorithm: 'CRC32' }))
    isAsB2(t, target, 'accepts-checksums', checksum, { name: 'InvalidArgument', status: 400 })
    isAsB2(t, target, 'accepts-any-acl', await refusal(s3.put(`${prefix}acl`, 'x', { ACL: 'public-read-write' })), { status: 400 })
  })
}
