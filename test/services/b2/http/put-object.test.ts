import { PutObjectCommand } from '@aws-sdk/client-s3'
import t from 'tap'
import type { Test } from 'tap'
import { createB2Client, watchingTries } from '../../../../services/b2/http/client.ts'
import type { B2ConnectionOptions, KnownHashes } from '../../../../services/b2/http/client.ts'
import { B2RequestHandler } from '../../../../services/b2/http/request-handler.ts'
import { sha256, startB2 } from '../../../support/service/service.ts'

const { signal } = new AbortController()
const BODY = Buffer.from('la la la')
const NOW = Date.UTC(2026, 10, 30, 12)

/** The requests of a client on the wire, which answers what `answer` does. */
function stage (t: Test, options: Partial<B2ConnectionOptions> = {}) {
  const requests: Record<string, unknown>[] = []
  t.intercept(Date, 'now', { value: () => NOW })
  t.intercept(B2RequestHandler.prototype, 'handle', {
    async value (request: { headers: Record<string, string> }) {
      const { protocol, hostname, port, method, path, query: { 'x-id': _operation, ...query }, body, headers: all } =
        request as never as Record<string, unknown> & { query: object & { 'x-id'?: string }, headers: Record<string, string> }
      // These and `x-id` are for the SDK's makers alone; with them it has another signature.
      const { 'amz-sdk-invocation-id': _id, 'amz-sdk-request': _try, authorization, ...headers } = all
      requests.push({ protocol, hostname, port, method, path, query, body, headers, credential: authorization!.split(', ')[0] })
      return { response: { statusCode: 200, headers: { etag: '"x"', 'x-amz-version-id': '1' } } }
    },
  })
  const hashes: KnownHashes = new WeakMap()
  const client = createB2Client({ endpoint: 'http://127.0.0.1:9000', region: 'us-west-004', bucket: 'music', applicationKeyId: '004a', applicationKey: 'K004', ...options }, hashes)
  t.teardown(() => { client.destroy() })
  return { client, hashes, requests }
}

t.test('what is sent without the SDK is what the SDK would send', async t => {
  for (const endpoint of ['http://127.0.0.1:9000', 'https://s3.us-west-004.backblazeb2.com', 'https://example.com/base/', 'http://[::1]:9000']) {
    for (const bucket of ['music', 'my.music']) {
      for (const forcePathStyle of [true, false]) {
        await t.test(`${bucket} at ${endpoint}, ${forcePathStyle ? 'in the path' : 'in the host'}`, async t => {
          const { client, hashes, requests } = stage(t, { endpoint, bucket, forcePathStyle })
          for (const more of [
            { Key: 'tracks/a.mp3', ContentType: 'audio/mpeg', Metadata: { sha256: 'abc', Receipt: 'S%C3%B6ng' } },
            { Key: "söng & co/(a)!*'~+=?#%/$@,;:.mp3", Metadata: {} },
            { Key: 'a//b/.c/d..mp3' },
          ]) {
            const input = { Bucket: bucket, Body: BODY, ...more }
            hashes.set(BODY, sha256(BODY))
            t.match(await client.send(new PutObjectCommand(input), signal), { ETag: '"x"', VersionId: '1', $metadata: { httpStatusCode: 200, attempts: 1 } })
            // One more field, of which the way knows nothing.
            await client.send(new PutObjectCommand({ ...input, ExpectedBucketOwner: undefined }), signal)
            const [own, theirs] = requests.splice(0)
            t.same(own, theirs)
          }
        })
      }
    }
  }
})

t.test('what the first try was answered counts as the first of the SDK', async t => {
  t.intercept(Math, 'random', { value: () => 0 })
  const b2 = await startB2(t)
  const { endpoint, region, bucket, credentials } = b2
  const hashes: KnownHashes = new WeakMap([[BODY, sha256(BODY)]])
  const client = createB2Client({ endpoint, region, bucket, applicationKeyId: credentials.accessKeyId, applicationKey: credentials.secretAccessKey, maxAttempts: 3 }, hashes)
  t.teardown(() => { client.destroy() })
  const put = () => watchingTries(new PutObjectCommand({ Bucket: bucket, Key: 'a.mp3', Body: BODY }), error => { told.push((error as Error).name) })
  const told: string[] = []

  b2.fault({ operation: 'PutObject', status: 503, times: 2 })
  t.match(await client.send(put(), signal), { ETag: String, $metadata: { attempts: 3 } })
  t.equal(told.length, 2)
  t.equal(b2.requests.length, 3)

  b2.fault({ operation: 'PutObject', status: 403, times: 1 })
  t.match(await client.send(put(), signal).catch((error: unknown) => error), { $metadata: { attempts: 1, httpStatusCode: 403 } })
  t.equal(b2.requests.length, 4)
  t.equal(told.length, 3)
})
