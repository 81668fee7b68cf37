import { CreateMultipartUploadCommand, GetObjectCommand, HeadObjectCommand, PutObjectCommand, UploadPartCommand } from '@aws-sdk/client-s3'
import type { Readable } from 'node:stream'
import t from 'tap'
import type { Test } from 'tap'
import type { B2Emulator, B2EmulatorOptions, Fault } from '../../../../emulator/index.ts'
import { createB2Client, onNewConnection, watchingTries, withSignedBody, withStreamedAnswer } from '../../../../services/b2/http/client.ts'
import type { B2Client, B2ConnectionOptions, KnownHashes } from '../../../../services/b2/http/client.ts'
import { FOR_READERS, FOR_UPLOADS } from '../../../../services/b2/http/retry-strategy.ts'
import type { Patience } from '../../../../services/b2/http/retry-strategy.ts'
import { startScriptedServer } from '../../../support/b2/scripted-server.ts'
import { sha256, startB2 } from '../../../support/service/service.ts'
import { acceptedTls } from '../../../support/clients/tls.ts'

const { signal } = new AbortController()
const Key = 'tracks/söng & co.mp3'
const BODY = Buffer.alloc(3_000_000, 'x') // more than what the SDK would ask for permission to send

interface Stage { b2: B2Emulator, client: B2Client, hashes: KnownHashes, Bucket: string }

async function setUp (t: Test, options: Partial<B2ConnectionOptions> = {}, emulator: B2EmulatorOptions = {}, patience?: Patience): Promise<Stage> {
  t.intercept(Math, 'random', { value: () => 0 }) // no pauses but those that are asked for
  const b2 = await startB2(t, emulator)
  const { endpoint, region, bucket, credentials } = b2
  const hashes: KnownHashes = new WeakMap()
  const client = createB2Client(
    { endpoint, region, bucket, applicationKeyId: credentials.accessKeyId, applicationKey: credentials.secretAccessKey, ...options }, hashes, patience)
  t.teardown(() => { client.destroy() })
  return { b2, client, hashes, Bucket: bucket }
}

t.test('requests have what B2 understands, and nothing else', async t => {
  // What Lambda would have traced.
  t.intercept(process, 'env', { value: { ...process.env, AWS_LAMBDA_FUNCTION_NAME: 'f', _X_AMZN_TRACE_ID: 'trace' } })
  const { b2, client, Bucket } = await setUp(t)
  await client.send(new PutObjectCommand({ Bucket, Key, Body: BODY }), signal)
  await client.send(new HeadObjectCommand({ Bucket, Key }), signal)
  const common = ['amz-sdk-invocation-id', 'amz-sdk-request', 'connection', 'host', 'user-agent', 'x-amz-content-sha256', 'x-amz-date']
  const names = b2.requests.map(({ headers }) => Object.keys(headers).sort())
  t.same(names, [[...common, 'content-length', 'content-type'].sort(), common])
  for (const { headers } of b2.requests) t.equal(headers['user-agent'], 'fastify-b2-uploads')
  t.same(b2.objects()[0]?.key, Key)
})

t.test('the bucket is in the path, or in the host where that is wanted', async t => {
  // Of a host that has no other name there is no such request that would arrive.
  for (const [options, expected] of [[{}, true], [{ forcePathStyle: true }, true], [{ forcePathStyle: false }, false]] as const) {
    const { client } = await setUp(t, options)
    t.equal(client.config.forcePathStyle, expected)
  }
})

t.test('a hash that is known is signed; where none is, it is made over http', async t => {
  const { b2, client, hashes, Bucket } = await setUp(t)
  hashes.set(BODY, sha256(BODY))
  await client.send(new PutObjectCommand({ Bucket, Key, Body: BODY }), signal)
  const other = Buffer.from('other')
  await client.send(new PutObjectCommand({ Bucket, Key, Body: other }), signal)
  hashes.set(other, sha256(BODY))
  await t.rejects(client.send(new PutObjectCommand({ Bucket, Key, Body: other }), signal), { name: 'XAmzContentSHA256Mismatch' })
  t.same(b2.requests.map(({ headers }) => headers['x-amz-content-sha256']), [BODY, other, BODY].map(sha256))
})

t.test('parts are signed over http, and over https where all are, or this one is', async t => {
  const part = Buffer.from('part')
  const [signed, unsigned] = [sha256(part), 'UNSIGNED-PAYLOAD']
  for (const [tls, signParts, one, expected] of [
    [false, undefined, false, signed], [true, undefined, false, unsigned], [true, false, false, unsigned], [true, undefined, true, signed], [true, true, false, signed],
  ] as const) {
    const { b2, client, Bucket } = await setUp(t, signParts === undefined ? {} : { signParts }, tls ? { tls: acceptedTls(t) } : {})
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }), signal)
    const command = new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 1, Body: part })
    await client.send(one ? withSignedBody(command) : command, signal)
    await client.send(new PutObjectCommand({ Bucket, Key, Body: part }), signal)
    t.same(b2.requests.slice(1).map(({ headers }) => headers['x-amz-content-sha256']), [expected, signed], JSON.stringify({ tls, signParts, one }))
  }
})

t.test('a success that lacks its result is asked for again', async t => {
  const { b2, client, Bucket } = await setUp(t, { maxAttempts: 2 })
  for (const fault of [{ action: 'no-etag', apply: false }, { action: 'error-in-200' }] as const) {
    b2.fault({ operation: ['CreateMultipartUpload', 'UploadPart'], ...fault })
    const { UploadId, $metadata } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }), signal)
    t.equal($metadata.attempts, 2)
    b2.fault({ operation: 'UploadPart', ...fault, times: 2 })
    const part = new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 1, Body: BODY })
    await t.rejects(client.send(part, signal), { name: 'IncompleteAnswer', $metadata: { attempts: 2 } })
    t.match(await client.send(part, signal), { ETag: String })
  }
  b2.fault({ operation: 'PutObject', action: 'no-etag' })
  t.match(await client.send(new PutObjectCommand({ Bucket, Key, Body: BODY }), signal), { $metadata: { attempts: 1 } }, 'whether an object is there can be looked up')
})

t.test('each failed try is told, by what it failed with', async t => {
  const { b2, client, Bucket } = await setUp(t)
  for (const status of [500, 503, 403]) b2.fault({ status })
  const tries: unknown[] = []
  const head = watchingTries(new HeadObjectCommand({ Bucket, Key }), error => { tries.push((error as { $metadata: { httpStatusCode: number } }).$metadata.httpStatusCode) })
  t.match(await client.send(head, signal).catch((error: unknown) => error), { $metadata: { attempts: 3 } })
  t.same(tries, [500, 503, 403])
})

t.test('a request is tried four times, or as often as is wanted', async t => {
  for (const [options, expected] of [[{}, 4], [{ maxAttempts: 2 }, 2]] as const) {
    const { b2, client, Bucket } = await setUp(t, options)
    b2.fault({ status: 503, times: Infinity })
    await t.rejects(client.send(new HeadObjectCommand({ Bucket, Key }), signal))
    t.equal(b2.requests.length, expected)
  }
})

t.test('who reads waits less for a connection that stalls than who writes', async t => {
  const { port } = await startScriptedServer(t, () => {}) // it never says hello
  for (const [patience, attempts] of [[undefined, 4], [FOR_UPLOADS, 4], [FOR_READERS, 2]] as const) {
    const { client, Bucket } = await setUp(t, { endpoint: `https://127.0.0.1:${port}`, connectTimeoutMs: 20 }, {}, patience)
    await t.rejects(client.send(new HeadObjectCommand({ Bucket, Key }), signal), { code: 'B2_CONNECT_TIMEOUT', $metadata: { attempts } })
  }
})

t.test('a request stalls after the time that was given', async t => {
  const { b2, client, Bucket } = await setUp(t, { stallTimeoutMs: 100, maxAttempts: 1 })
  b2.fault({ action: 'hang' })
  await t.rejects(client.send(new HeadObjectCommand({ Bucket, Key }), signal), { code: 'B2_STALLED' })
})

t.test('cancelling ends a request, and the pause before its next try', async t => {
  const { b2, client, Bucket } = await setUp(t)
  for (const fault of [{ action: 'hang' }, { status: 503, headers: { 'Retry-After': '9' } }] satisfies Fault[]) {
    b2.fault(fault)
    const controller = new AbortController()
    const answered = b2.waitFor('fault')
    const failed = client.send(new HeadObjectCommand({ Bucket, Key }), controller.signal).catch((error: unknown) => error)
    await answered
    controller.abort()
    t.match(await failed, { name: 'AbortError' })
  }
  t.equal(b2.requests.length, 2)
})

t.test('a new connection and a streamed answer can be asked for', async t => {
  const { b2, client, Bucket } = await setUp(t)
  await client.send(new PutObjectCommand({ Bucket, Key, Body: BODY }), signal)
  b2.fault({ bytesPerSecond: 1_000_000 })
  const { Body } = await client.send(withStreamedAnswer(onNewConnection(new GetObjectCommand({ Bucket, Key }))), signal)
  t.equal(b2.requests[1]!.outcome, 'pending', 'it is handed over before it is whole')
  t.not(b2.requests[1]!.connection, b2.requests[0]!.connection)
  const stream = Body as Readable
  stream.on('error', () => {}).destroy()
  t.throws(() => createB2Client({ endpoint: 'no URL', region: 'r', bucket: 'b', applicationKeyId: 'i', applicationKey: 'k' }, new WeakMap()), TypeError)
})
