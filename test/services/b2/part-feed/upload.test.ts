import { S3Client } from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import t from 'tap'
import { PartFeed, feedsWorkersDirectly, partUpload } from '../../../../services/b2/part-feed.ts'

const PART = 5_242_880 // 5 MiB, the least that lib-storage takes

interface Sent { Key: string, PartNumber?: number, Body?: Uint8Array }

/** What lib-storage sends for these parts. */
async function sentFor (parts: Uint8Array[], direct?: boolean): Promise<Sent[]> {
  const { config } = new S3Client({ region: 'us-west-004' })
  const sent: Sent[] = []
  const client = {
    config,
    async send ({ input }: { input: Sent }) {
      sent.push(input)
      return { UploadId: 'of-this-upload', ETag: '"x"' }
    },
  }
  const feed = new PartFeed()
  const done = partUpload({ client: client as never, params: { Bucket: 'music', Key: 'song.mp3' }, partSize: PART, queueSize: 1 }, feed, direct).done()
  for (const [index, part] of parts.entries()) await feed.push(part, index === parts.length - 1)
  await done
  return sent.filter(({ PartNumber }) => PartNumber !== undefined)
}

t.test('parts are sent as they are, without a copy', async t => {
  const parts = [Buffer.alloc(PART, 1), Buffer.alloc(PART, 2), Buffer.from('the end')]
  const sent = await sentFor(parts)
  t.same(sent.map(({ Key, PartNumber }) => [Key, PartNumber]), [['song.mp3', 1], ['song.mp3', 2], ['song.mp3', 3]])
  for (const [index, { Body }] of sent.entries()) t.equal(Body, parts[index])
})

t.test('without the worker the same parts are sent on the public path', async t => {
  const parts = [Buffer.alloc(PART, 1), Buffer.alloc(PART, 2), Buffer.from('the end')]
  const sent = await sentFor(parts, false)
  t.same(sent.map(({ PartNumber }) => PartNumber), [1, 2, 3])
  for (const [index, { Body }] of sent.entries()) {
    t.ok(Buffer.from(Body!).equals(parts[index]!))
    t.not(Body, parts[index], 'copied there, so that it was not the worker')
  }
})

t.test('a worker that is gone, or takes something else, is not fed', async t => {
  t.equal(feedsWorkersDirectly(), true)
  for (const worker of [undefined, { length: 1 }, () => {}, (_first: unknown, _second: unknown) => {}]) {
    t.intercept(Upload.prototype, '__doConcurrentUpload' as never, { value: worker as never })
    t.equal(feedsWorkersDirectly(), false)
  }
})
