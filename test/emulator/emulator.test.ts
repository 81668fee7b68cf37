import { createHash, randomBytes } from 'node:crypto'
import { Agent } from 'node:http'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import t from 'tap'
import {
  AbortMultipartUploadCommand, CompleteMultipartUploadCommand, CreateMultipartUploadCommand, DeleteObjectCommand,
  GetBucketLocationCommand, GetObjectCommand, HeadBucketCommand, HeadObjectCommand, ListBucketsCommand, ListMultipartUploadsCommand,
  ListObjectVersionsCommand, ListObjectsV2Command, ListPartsCommand, PutObjectCommand, UploadPartCommand,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { clientOf, failureOf, setUp } from '../support/b2/emulator-client.ts'
import { sha256 } from '../support/service/service.ts'

t.test('stores an object and gives it back byte for byte', async (t) => {
  const { emulator, client, Bucket } = await setUp(t)
  const Body = randomBytes(300_000)
  const Key = 'tracks/a b+c/ü(1)*\'!~.mp3'
  const put = await client.send(new PutObjectCommand({ Bucket, Key, Body, ContentType: 'audio/mpeg', Metadata: { Title: 'one', empty: '' } }))
  t.equal(put.ETag, `"${createHash('md5').update(Body).digest('hex')}"`)
  t.ok(put.VersionId)

  const got = await client.send(new GetObjectCommand({ Bucket, Key }))
  t.equal(sha256(await got.Body!.transformToByteArray()), sha256(Body))
  t.match(got, { ContentType: 'audio/mpeg', ETag: put.ETag, VersionId: put.VersionId, ContentLength: Body.length })
  t.same(got.Metadata, { title: 'one', empty: '' })

  const head = await client.send(new HeadObjectCommand({ Bucket, Key }))
  t.equal(head.ContentLength, Body.length)
  t.match(emulator.objects(), [{ key: Key, size: Body.length, sha256: sha256(Body), contentType: 'audio/mpeg', metadata: { title: 'one' } }])
  t.equal(sha256(emulator.read(Key)!), sha256(Body))
  t.match(emulator.requests.map(({ operation, status, outcome }) => ({ operation, status, outcome })), [
    { operation: 'PutObject', status: 200, outcome: 'answered' },
    { operation: 'GetObject', status: 200, outcome: 'answered' },
    { operation: 'HeadObject', status: 200, outcome: 'answered' },
  ])
  t.equal(emulator.requests[0]?.bytesReceived, Body.length)
})

t.test('stores an empty object', async (t) => {
  const { emulator, client, Bucket } = await setUp(t)
  await client.send(new PutObjectCommand({ Bucket, Key: 'empty', Body: '' }))
  const got = await client.send(new GetObjectCommand({ Bucket, Key: 'empty' }))
  t.equal((await got.Body!.transformToByteArray()).length, 0)
  t.match(emulator.objects(), [{ size: 0, sha256: sha256(Buffer.alloc(0)) }])
})

t.test('takes a multipart upload of lib-storage, with the metadata given at its creation', async (t) => {
  const { emulator, client, Bucket } = await setUp(t)
  const bytes = randomBytes(12 * 1024 * 1024 + 7)
  const upload = new Upload({
    client,
    params: { Bucket, Key: 'big', Body: Readable.from([bytes.subarray(0, 5_000_001), bytes.subarray(5_000_001)]), Metadata: { id: '7' } },
    partSize: 5 * 1024 * 1024,
  })
  const done = await upload.done()
  t.match(done.ETag, /^"[0-9a-f]{32}-3"$/)
  t.match(emulator.objects(), [{ key: 'big', size: bytes.length, sha256: sha256(bytes), metadata: { id: '7' } }])
  t.same(emulator.unfinishedUploads(), [])
  const got = await client.send(new GetObjectCommand({ Bucket, Key: 'big', Range: 'bytes=5242870-5242889' }))
  t.same(Buffer.from(await got.Body!.transformToByteArray()), bytes.subarray(5242870, 5242890))
})

t.test('answers ranges', async (t) => {
  const { client, Bucket } = await setUp(t)
  await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: '0123456789' }))
  const ranges: Array<[string, string, string | undefined]> = [
    ['bytes=2-4', '234', 'bytes 2-4/10'],
    ['bytes=7-', '789', 'bytes 7-9/10'],
    ['bytes=-3', '789', 'bytes 7-9/10'],
    ['bytes=5-99', '56789', 'bytes 5-9/10'],
    ['bytes=0-1,3-4', '0123456789', undefined],
  ]
  for (const [Range, text, contentRange] of ranges) {
    const got = await client.send(new GetObjectCommand({ Bucket, Key: 'k', Range }))
    t.equal(await got.Body!.transformToString(), text, Range)
    t.equal(got.ContentRange, contentRange)
    t.equal(got.$metadata.httpStatusCode, contentRange === undefined ? 200 : 206)
  }
  t.match(await failureOf(client.send(new GetObjectCommand({ Bucket, Key: 'k', Range: 'bytes=10-' }))), { name: 'InvalidRange', status: 416 })
})

t.test('answers conditional reads', async (t) => {
  const { client, Bucket } = await setUp(t)
  const { ETag } = await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }))
  const get = (input: object) => client.send(new GetObjectCommand({ Bucket, Key: 'k', ...input }))
  t.match(await failureOf(get({ IfNoneMatch: ETag })), { status: 304 })
  t.match(await failureOf(get({ IfModifiedSince: new Date(Date.now() + 60_000) })), { status: 304 })
  t.match(await failureOf(get({ IfMatch: '"other"' })), { name: 'PreconditionFailed', status: 412 })
  t.match(await failureOf(get({ IfUnmodifiedSince: new Date(0) })), { status: 412 })
  t.match(await get({ IfMatch: ETag, IfUnmodifiedSince: new Date(0) }), { ETag })
  t.match(await get({ IfNoneMatch: '"other"' }), { ETag })
})

t.test('keeps every version, hides by name and deletes by version', async (t) => {
  const { emulator, client, Bucket } = await setUp(t)
  const first = await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'one' }))
  const second = await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'two' }))
  const old = await client.send(new GetObjectCommand({ Bucket, Key: 'k', VersionId: first.VersionId }))
  t.equal(await old.Body!.transformToString(), 'one')

  const hidden = await client.send(new DeleteObjectCommand({ Bucket, Key: 'k' }))
  t.equal(hidden.DeleteMarker, true)
  t.match(await failureOf(client.send(new GetObjectCommand({ Bucket, Key: 'k' }))), { name: 'NoSuchKey', status: 404 })
  t.match(await failureOf(client.send(new HeadObjectCommand({ Bucket, Key: 'k' }))), { name: 'NotFound', status: 404 })
  t.same(emulator.objects(), [])
  t.equal(emulator.read('k'), undefined)
  t.match(emulator.versions(), [{ isHideMarker: true, isLatest: true }, { versionId: second.VersionId }, { versionId: first.VersionId }])

  const listed = await client.send(new ListObjectVersionsCommand({ Bucket, Prefix: 'k' }))
  t.match(listed.DeleteMarkers, [{ Key: 'k', IsLatest: true }])
  t.match(listed.Versions?.map(({ VersionId, IsLatest, Size }) => ({ VersionId, IsLatest, Size })), [
    { VersionId: second.VersionId, IsLatest: false, Size: 3 }, { VersionId: first.VersionId, IsLatest: false, Size: 3 },
  ])

  await client.send(new DeleteObjectCommand({ Bucket, Key: 'k', VersionId: hidden.VersionId }))
  t.equal(emulator.read('k')?.toString(), 'two')
  await client.send(new DeleteObjectCommand({ Bucket, Key: 'k', VersionId: second.VersionId }))
  await client.send(new DeleteObjectCommand({ Bucket, Key: 'k', VersionId: first.VersionId }))
  t.same(emulator.versions(), [])
  await client.send(new DeleteObjectCommand({ Bucket, Key: 'never' }))
  t.same(emulator.versions(), [])
  t.match(await failureOf(client.send(new GetObjectCommand({ Bucket, Key: 'k', VersionId: first.VersionId }))), { name: 'NoSuchVersion', status: 404 })
})

t.test('lists objects and versions page by page', async (t) => {
  const { client, Bucket } = await setUp(t)
  const keys = ['a/1', 'a/2', 'b', 'c/1', 'c/2', 'd&<é>']
  for (const Key of keys) await client.send(new PutObjectCommand({ Bucket, Key, Body: Key }))
  await client.send(new PutObjectCommand({ Bucket, Key: 'b', Body: 'again' }))

  const seen: string[] = []
  let ContinuationToken: string | undefined
  do {
    const page = await client.send(new ListObjectsV2Command({ Bucket, MaxKeys: 2, ContinuationToken }))
    t.ok(page.KeyCount! <= 2)
    seen.push(...(page.Contents ?? []).map(({ Key }) => Key!))
    ContinuationToken = page.NextContinuationToken
  } while (ContinuationToken !== undefined)
  t.same(seen, keys)

  const rolled = await client.send(new ListObjectsV2Command({ Bucket, Delimiter: '/' }))
  t.same(rolled.CommonPrefixes, [{ Prefix: 'a/' }, { Prefix: 'c/' }])
  t.same(rolled.Contents?.map(({ Key }) => Key), ['b', 'd&<é>'])
  const after = await client.send(new ListObjectsV2Command({ Bucket, Prefix: 'c/', StartAfter: 'c/1' }))
  t.same(after.Contents?.map(({ Key }) => Key), ['c/2'])

  const versions: string[] = []
  let KeyMarker: string | undefined
  let VersionIdMarker: string | undefined
  do {
    const page = await client.send(new ListObjectVersionsCommand({ Bucket, MaxKeys: 1, KeyMarker, VersionIdMarker }))
    versions.push(...(page.Versions ?? []).map(({ Key }) => Key!))
    KeyMarker = page.NextKeyMarker
    VersionIdMarker = page.NextVersionIdMarker
  } while (KeyMarker !== undefined)
  t.same(versions, ['a/1', 'a/2', 'b', 'b', 'c/1', 'c/2', 'd&<é>'])
})

t.test('lists unfinished uploads and their parts page by page, replaces parts and aborts', async (t) => {
  const { emulator, client, Bucket } = await setUp(t)
  const ids: string[] = []
  for (const Key of ['x/1', 'x/1', 'x/2', 'y']) {
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }))
    ids.push(UploadId!)
  }
  t.equal(new Set(ids).size, 4)

  const seen: string[] = []
  let KeyMarker: string | undefined
  let UploadIdMarker: string | undefined
  do {
    const page = await client.send(new ListMultipartUploadsCommand({ Bucket, Prefix: 'x/', MaxUploads: 1, KeyMarker, UploadIdMarker }))
    seen.push(...(page.Uploads ?? []).map(({ UploadId }) => UploadId!))
    t.ok(page.Uploads?.[0]?.Initiated instanceof Date)
    KeyMarker = page.NextKeyMarker
    UploadIdMarker = page.NextUploadIdMarker
  } while (KeyMarker !== undefined)
  t.same(seen, ids.slice(0, 3))

  const part = { Bucket, Key: 'y', UploadId: ids[3] }
  for (const [PartNumber, Body] of [[2, 'second'], [1, 'frist'], [1, 'first']] as const) {
    await client.send(new UploadPartCommand({ ...part, PartNumber, Body }))
  }
  const parts = await client.send(new ListPartsCommand({ ...part, MaxParts: 1 }))
  t.match(parts, { IsTruncated: true, NextPartNumberMarker: '1', Parts: [{ PartNumber: 1, Size: 5, ETag: `"${createHash('md5').update('first').digest('hex')}"` }] })
  t.match(emulator.unfinishedUploads().at(-1), { key: 'y', uploadId: ids[3], parts: [1, 2] })

  await client.send(new AbortMultipartUploadCommand(part))
  t.equal(emulator.unfinishedUploads().length, 3)
  t.match(await failureOf(client.send(new AbortMultipartUploadCommand(part))), { name: 'NoSuchUpload', status: 404 })
  t.match(await failureOf(client.send(new UploadPartCommand({ ...part, PartNumber: 1, Body: 'x' }))), { name: 'NoSuchUpload' })
})

t.test('completes only what is right, and only once', async (t) => {
  const { emulator, client, Bucket } = await setUp(t, { minPartBytes: 10 })
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key: 'k' }))
  const upload = { Bucket, Key: 'k', UploadId }
  const tags: string[] = []
  for (const [index, Body] of ['0123456789', 'abcdefghij', 'z'].entries()) {
    const { ETag } = await client.send(new UploadPartCommand({ ...upload, PartNumber: index + 1, Body }))
    tags.push(ETag!)
  }
  const complete = (...numbers: number[]) => client.send(new CompleteMultipartUploadCommand({
    ...upload, MultipartUpload: { Parts: numbers.map((PartNumber) => ({ PartNumber, ETag: tags[PartNumber - 1] ?? '"none"' })) },
  }))
  t.match(await failureOf(complete(2, 1)), { name: 'InvalidPartOrder', status: 400 })
  t.match(await failureOf(complete(1, 9)), { name: 'InvalidPart', status: 400 })
  t.match(await failureOf(complete()), { name: 'MalformedXML', status: 400 })
  tags[0] = tags[1]!
  t.match(await failureOf(complete(1)), { name: 'InvalidPart' })
  tags[0] = `"${createHash('md5').update('0123456789').digest('hex')}"`
  await client.send(new UploadPartCommand({ ...upload, PartNumber: 4, Body: 'last' }))
  tags.push(`"${createHash('md5').update('last').digest('hex')}"`)
  t.match(await failureOf(complete(1, 3, 4)), { name: 'EntityTooSmall', status: 400 })
  t.match(await failureOf(client.send(new UploadPartCommand({ ...upload, PartNumber: 0, Body: 'x' }))), { name: 'InvalidArgument' })
  t.same(emulator.objects(), [])

  const done = await complete(1, 2, 3)
  t.match(done, { Bucket, Key: 'k', ETag: /-3"$/, VersionId: String })
  t.equal(emulator.read('k')?.toString(), '0123456789abcdefghijz')
  t.match(await failureOf(complete(1, 2, 3)), { name: 'NoSuchUpload', status: 404 })
})

t.test('knows its bucket only', async (t) => {
  const { emulator, client, Bucket } = await setUp(t)
  await client.send(new HeadBucketCommand({ Bucket }))
  t.match(await client.send(new ListBucketsCommand({})), { Buckets: [{ Name: Bucket }] })
  t.equal((await client.send(new GetBucketLocationCommand({ Bucket }))).LocationConstraint, emulator.region)
  t.match(await failureOf(client.send(new PutObjectCommand({ Bucket: 'other', Key: 'k', Body: 'x' }))), { name: 'NoSuchBucket', status: 404 })
})

t.test('understands virtual-host style', async (t) => {
  const { emulator } = await setUp(t)
  const endpoint = `http://localhost:${emulator.port}`
  const agent = new Agent({ lookup: (_host, options, callback) => options.all === true ? callback(null, [{ address: '127.0.0.1', family: 4 }]) : callback(null, '127.0.0.1', 4) })
  const client = clientOf(emulator, { endpoint, forcePathStyle: false, requestHandler: { httpAgent: agent } })
  t.teardown(() => client.destroy())
  await client.send(new PutObjectCommand({ Bucket: emulator.bucket, Key: 'a/b', Body: 'x' }))
  t.match(emulator.requests.at(-1)?.headers.host, `${emulator.bucket}.localhost`)
  t.match(emulator.objects(), [{ key: 'a/b' }])
})

t.test('stores nothing of a client that leaves in the middle of its body', async (t) => {
  const { emulator, client, Bucket } = await setUp(t)
  const abort = new AbortController()
  const body = new Readable({ read () {} })
  body.push(Buffer.alloc(1000))
  const sending = client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: body, ContentLength: 2000 }), { abortSignal: abort.signal })
  const ended = emulator.waitFor('response')
  await emulator.waitFor('request')
  abort.abort()
  t.match(await failureOf(sending), { name: 'AbortError' })
  t.match(await ended, { outcome: 'client-gone', status: undefined })
  await client.send(new PutObjectCommand({ Bucket, Key: 'next', Body: 'x' }))
  t.match(emulator.objects().map(({ key }) => key), ['next'])
})

t.test('survives garbage', async (t) => {
  const { emulator, client, Bucket } = await setUp(t)
  const signed = 'AWS4-HMAC-SHA256 '
  const heads = [
    'garbage\r\n\r\n',
    'GET /%ff%zz?%e0%a4%a=1 HTTP/1.1\r\nHost: x\r\n\r\n',
    `PUT /${Bucket}/k HTTP/1.1\r\nHost: x\r\nAuthorization: ${signed}Credential=,SignedHeaders=,Signature=\r\nContent-Length: 0\r\n\r\n`,
    `PUT /${Bucket}/k HTTP/1.1\r\nHost: x\r\nAuthorization: ${signed}Credential=${emulator.credentials.accessKeyId}/////,SignedHeaders=host,Signature=é\r\nx-amz-date: 99999999T999999Z\r\nContent-Length: 0\r\n\r\n`,
    `POST /${Bucket}/k?uploadId=x HTTP/1.1\r\nHost: x\r\nAuthorization: Basic eDp5\r\nContent-Length: 0\r\n\r\n`,
    'FETCH / HTTP/1.1\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  ]
  for (const head of heads) {
    const socket = connect(emulator.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.end(head)
    const answer = (await socket.toArray().catch(() => [])).join('')
    t.notMatch(answer, /^HTTP\/1\.1 [25]/, JSON.stringify(head.slice(0, 40)))
  }
  await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'still alive' }))
})

t.test('refuses connections for a while and takes them again on the same port', async (t) => {
  const { emulator, client, Bucket } = await setUp(t)
  await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }))
  t.equal(emulator.openConnections, 1)
  await emulator.refuseConnections()
  t.equal(emulator.openConnections, 0)
  const late = clientOf(emulator)
  t.teardown(() => late.destroy())
  await t.rejects(late.send(new HeadObjectCommand({ Bucket, Key: 'k' })), { code: 'ECONNREFUSED' })
  const { port } = emulator
  await emulator.acceptConnections()
  t.equal(emulator.port, port)
  t.match(await late.send(new HeadObjectCommand({ Bucket, Key: 'k' })), { ContentLength: 1 })
})

t.test('forgets everything on reset', async (t) => {
  const { emulator, client, Bucket } = await setUp(t)
  await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }))
  await client.send(new CreateMultipartUploadCommand({ Bucket, Key: 'k' }))
  emulator.fault({ status: 500, times: Infinity })
  emulator.reset()
  t.same([emulator.versions(), emulator.unfinishedUploads(), emulator.requests], [[], [], []])
  await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }))
})

t.test('ends its waits when it is closed', async (t) => {
  const { emulator } = await setUp(t)
  const waiting = emulator.waitFor('request')
  await emulator.close()
  await t.rejects(waiting, /closed/)
})

t.test('asks for the body of a client that expects to be told to continue', async (t) => {
  const { emulator, client, Bucket } = await setUp(t)
  const Body = randomBytes(3 * 1024 * 1024)
  await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body }))
  t.equal(emulator.requests[0]?.headers.expect, '100-continue')
  t.match(emulator.objects(), [{ sha256: sha256(Body) }])
})
