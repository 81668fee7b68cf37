import { createHash } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import { Readable } from 'node:stream'
import t from 'tap'
import {
  DeleteObjectCommand, GetObjectCommand, HeadObjectCommand, ListBucketsCommand, ListObjectsV2Command, PutObjectCommand,
  PutObjectTaggingCommand,
} from '@aws-sdk/client-s3'
import type { S3ClientConfig } from '@aws-sdk/client-s3'
import { clientOf, failureOf, setUp } from '../support/b2/emulator-client.ts'

t.test('refuses wrong keys as B2 does', async (t) => {
  const { emulator } = await setUp(t)
  const { accessKeyId, secretAccessKey } = emulator.credentials
  const cases: Array<[string, S3ClientConfig, object]> = [
    ['a bad secret', { credentials: { accessKeyId, secretAccessKey: 'K004wrong' } }, { name: 'SignatureDoesNotMatch', status: 403 }],
    ['an unknown key', { credentials: { accessKeyId: '0040123456789ab0000000009', secretAccessKey } },
      { name: 'InvalidAccessKeyId', status: 403, message: "The key '0040123456789ab0000000009' is not valid" }],
    ['the master key', { credentials: { accessKeyId: '0123456789ab', secretAccessKey } },
      { name: 'InvalidAccessKeyId', status: 403, message: 'Malformed Access Key Id' }],
    ['empty credentials', { credentials: { accessKeyId: '', secretAccessKey: '' } }, { name: 'InvalidAccessKeyId', status: 403 }],
    ['another region', { region: 'eu-central-003' }, { name: 'SignatureDoesNotMatch', status: 403 }],
    ['no signature', { signer: { sign: async (request) => request } }, { name: 'UnauthorizedAccess', status: 401 }],
    ['a clock that is wrong', { systemClockOffset: -16 * 60_000 }, { name: 'RequestTimeTooSkewed', status: 403 }],
  ]
  for (const [name, config, expected] of cases) {
    const client = clientOf(emulator, config)
    t.match(await failureOf(client.send(new PutObjectCommand({ Bucket: emulator.bucket, Key: 'k', Body: 'x' }))), expected, name)
    client.destroy()
  }
  t.same(emulator.objects(), [])
  t.ok(emulator.requests.every(({ headers }) => headers.authorization === undefined))
})

t.test('lets the SDK correct a wrong clock', async (t) => {
  const { emulator, client, Bucket } = await setUp(t, {}, { systemClockOffset: -3_600_000 })
  t.match(await failureOf(client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }))), { name: 'RequestTimeTooSkewed' })
  await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }))
  t.match(emulator.requests, [{ errorCode: 'RequestTimeTooSkewed', status: 403 }, { errorCode: undefined, status: 200 }])
})

t.test('refuses what the key may not do', async (t) => {
  const { client, Bucket } = await setUp(t, { capabilities: ['writeFiles'], namePrefix: 'tracks/' })
  const denied = { name: 'AccessDenied', status: 403, message: 'not entitled' }
  await client.send(new PutObjectCommand({ Bucket, Key: 'tracks/1', Body: 'x' }))
  t.match(await failureOf(client.send(new PutObjectCommand({ Bucket, Key: 'other/1', Body: 'x' }))), denied)
  t.match(await failureOf(client.send(new GetObjectCommand({ Bucket, Key: 'tracks/1' }))), denied)
  t.match(await failureOf(client.send(new HeadObjectCommand({ Bucket, Key: 'tracks/1' }))), { status: 403 })
  t.match(await failureOf(client.send(new ListObjectsV2Command({ Bucket, Prefix: 'tracks/' }))), denied)
  t.match(await failureOf(client.send(new ListBucketsCommand({}))), denied)
  t.match(await failureOf(client.send(new DeleteObjectCommand({ Bucket, Key: 'tracks/1', VersionId: 'v' }))), denied)
  await client.send(new DeleteObjectCommand({ Bucket, Key: 'tracks/1' }))
})

t.test('restricts listings to the name prefix of the key', async (t) => {
  const { client, Bucket } = await setUp(t, { namePrefix: 'tracks/' })
  t.match(await client.send(new ListObjectsV2Command({ Bucket, Prefix: 'tracks/a' })), { KeyCount: 0 })
  t.match(await failureOf(client.send(new ListObjectsV2Command({ Bucket }))), { name: 'AccessDenied', message: 'not entitled' })
})

t.test('refuses headers and operations that B2 refuses', async (t) => {
  const { emulator, client, Bucket } = await setUp(t)
  const put = (input: object) => failureOf(client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x', ...input })))
  const checksums = clientOf(emulator, { requestChecksumCalculation: 'WHEN_SUPPORTED' })
  t.teardown(() => checksums.destroy())
  t.match(await failureOf(checksums.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }))), {
    name: 'InvalidArgument', status: 400, message: /^Unsupported header 'x-amz-(checksum-crc32|sdk-checksum-algorithm)' received for this API call\.$/,
  })
  t.match(await failureOf(checksums.send(new PutObjectCommand({ Bucket, Key: 'k', Body: Readable.from(['x']), ContentLength: 1 }))), { status: 400 })
  t.match(await put({ IfNoneMatch: '*' }), { name: 'NotImplemented', status: 501 })
  t.match(await put({ IfMatch: '"x"' }), { name: 'NotImplemented', status: 501 })
  t.match(await put({ Tagging: 'a=b' }), { name: 'NotImplemented', status: 501 })
  t.match(await put({ ACL: 'public-read-write' }), { name: 'InvalidArgument', status: 400 })
  t.match(await put({ ContentMD5: createHash('md5').update('y').digest('base64') }), { name: 'BadDigest', status: 400 })
  t.match(await put({ ContentMD5: 'short' }), { name: 'InvalidDigest', status: 400 })
  t.match(await put({ Key: 'k'.repeat(1025) }), { name: 'KeyTooLongError', status: 400 })
  t.match(await put({ Key: 'ü'.repeat(513) }), { name: 'KeyTooLongError' })
  t.match(await put({ Metadata: { a: 'x'.repeat(4000), b: 'y'.repeat(3000) } }), { name: 'MetadataTooLarge', status: 400 })
  t.match(await failureOf(client.send(new PutObjectTaggingCommand({ Bucket, Key: 'k', Tagging: { TagSet: [] } }))), { status: 501 })
  t.same(emulator.versions(), [])
  await client.send(new PutObjectCommand({ Bucket, Key: 'k'.repeat(1024), Body: 'x', Metadata: { a: 'x'.repeat(4000), b: 'y'.repeat(2998) } }))
})

t.test('refuses a body that is not the signed one', async (t) => {
  const { emulator, client, Bucket } = await setUp(t)
  client.middlewareStack.add((next) => async (args) => {
    (args.request as { body: unknown }).body = 'y'
    return await next(args)
  }, { step: 'finalizeRequest', priority: 'low' })
  t.match(await failureOf(client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }))), { name: 'XAmzContentSHA256Mismatch', status: 400 })
  t.same(emulator.objects(), [])
})

t.test('wants a length, and no streaming signature', async (t) => {
  const { emulator, client, Bucket } = await setUp(t)
  client.middlewareStack.add((next) => async (args) => {
    const request = args.request as { headers: Record<string, string> }
    delete request.headers['content-length']
    return await next(args)
  }, { step: 'build', priority: 'low' })
  const chunked = Readable.from([Buffer.from('x')])
  t.match(await failureOf(client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: chunked }))), { name: 'MissingContentLength', status: 411 })
  const streaming = clientOf(emulator)
  t.teardown(() => streaming.destroy())
  streaming.middlewareStack.add((next) => async (args) => {
    (args.request as { headers: Record<string, string> }).headers['x-amz-content-sha256'] = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
    return await next(args)
  }, { step: 'build', priority: 'low' })
  t.match(await failureOf(streaming.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }))), { name: 'NotImplemented', status: 501 })
  t.same(emulator.objects(), [])
})

t.test('words errors the way B2 does', async (t) => {
  const { emulator } = await setUp(t)
  const { status, headers, text } = await new Promise<{ status: number | undefined, headers: NodeJS.Dict<string | string[]>, text: string }>((resolve, reject) => {
    httpRequest(`${emulator.endpoint}/${emulator.bucket}/k`, (response) => {
      response.setEncoding('utf8')
      response.toArray().then((chunks) => resolve({ status: response.statusCode, headers: response.headers, text: chunks.join('') }), reject)
    }).on('error', reject).end()
  })
  t.equal(status, 401)
  t.match(headers, { 'content-type': 'application/xml', 'x-amz-request-id': /^[0-9a-f]{16}$/, 'x-amz-id-2': String, date: String })
  t.equal(text, `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<Error>
    <Code>UnauthorizedAccess</Code>
    <Message>bucket is not authorized: ${emulator.bucket}</Message>
</Error>
`)
})
