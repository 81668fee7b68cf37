import { createHash, randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { Agent } from 'node:https'
import t from 'tap'
import {
  CompleteMultipartUploadCommand, CreateMultipartUploadCommand, GetObjectCommand, HeadObjectCommand, UploadPartCommand,
} from '@aws-sdk/client-s3'
import type { Fault } from '../../emulator/index.ts'
import { failureOf, setUp } from '../support/b2/emulator-client.ts'
import { TLS } from '../support/clients/tls.ts'

t.test('answers with a status, applying nothing', async (t) => {
  const { emulator, put } = await setUp(t)
  const handle = emulator.fault({ status: 503, times: 2 })
  const slow = emulator.fault({ status: 503, code: 'SlowDown', message: 'Please slow down', headers: { 'Retry-After': '1' } })
  t.match(await failureOf(put('k')), { name: 'ServiceUnavailable', message: 'no tomes available', status: 503 })
  t.match(await failureOf(put('k')), { status: 503 })
  t.match(await failureOf(put('k')), { name: 'SlowDown', message: 'Please slow down', status: 503 })
  t.same([handle.applied, slow.applied], [2, 1])
  t.same(emulator.objects(), [])
  await put('k')
  t.match(emulator.objects(), [{ key: 'k' }])
  t.match(emulator.requests.map(({ status, fault }) => [status, fault?.code]), [[503, undefined], [503, undefined], [503, 'SlowDown'], [200, undefined]])
})

t.test('answers with a body of its own', async (t) => {
  const { emulator, put } = await setUp(t)
  emulator.fault({ status: 502, body: '<html><body>Bad Gateway</body></html>', contentType: 'text/html' })
  t.match(await failureOf(put('k')), { status: 502 })
})

t.test('answers early and closes', async (t) => {
  const { emulator, put } = await setUp(t)
  emulator.fault({ status: 403, early: true })
  const ended = emulator.waitFor('response')
  t.match(await failureOf(put('k', randomBytes(1_500_000))), { name: 'AccessDenied', status: 403 })
  t.match(await ended, { bytesReceived: 0, status: 403, outcome: 'answered' })
  t.same(emulator.objects(), [])
})

t.test('picks its requests by operation, part, key and count', async (t) => {
  const { emulator, client, put, Bucket } = await setUp(t)
  emulator.fault({ operation: ['UploadPart', 'GetObject'], part: 2, key: /^multi/, status: 500 })
  emulator.fault({ key: (key) => key.endsWith('.bad'), after: 1, status: 500, times: Infinity })
  emulator.fault({ key: 'exact', status: 500 })
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key: 'multi' }))
  const part = (PartNumber: number) => client.send(new UploadPartCommand({ Bucket, Key: 'multi', UploadId, PartNumber, Body: 'x' }))
  await part(1)
  t.match(await failureOf(part(2)), { status: 500 })
  await part(2)

  await put('1.bad')
  t.match(await failureOf(put('2.bad')), { status: 500 })
  t.match(await failureOf(put('3.bad')), { status: 500 })
  await put('exactly')
  t.match(await failureOf(put('exact')), { status: 500 })
  await put('exact')
  emulator.clearFaults()
  await put('4.bad')
})

t.test('can be cancelled', async (t) => {
  const { emulator, put } = await setUp(t)
  const handle = emulator.fault({ status: 500, times: Infinity })
  t.match(await failureOf(put('k')), { status: 500 })
  handle.cancel()
  await put('k')
  t.equal(handle.applied, 1)
})

t.test('refuses faults that make no sense', async (t) => {
  const { emulator } = await setUp(t)
  const senseless: Fault[] = [
    {}, { status: 500, action: 'hang' }, { status: 100 }, { bytesPerSecond: 0 }, { bytesPerSecond: Number.NaN },
    { late: true }, { late: true, action: 'lose-answer' }, { late: true, action: 'reset', at: 'during-body' }, { late: true, delayMs: 1 },
    { late: true, status: 503, early: true }, { late: true, status: 503, apply: true },
  ]
  for (const fault of senseless) t.throws(() => emulator.fault(fault), TypeError)
  t.throws(() => emulator.throttle({ bytesPerSecond: -1 }), TypeError)
})

t.test('hangs after the body until the emulator is closed', async (t) => {
  const { emulator, put } = await setUp(t)
  emulator.fault({ action: 'hang' })
  const held = emulator.waitFor('fault')
  const failure = failureOf(put('k', 'four'))
  t.match(await held, { bytesReceived: 4, outcome: 'hung' })
  t.same(emulator.objects(), [])
  t.equal(emulator.openConnections, 1)
  await emulator.close()
  t.equal(emulator.openConnections, 0)
  t.match(await failure, { code: 'ECONNRESET' })
})

t.test('notices that the client of a hanging request has gone', async (t) => {
  const { emulator, put } = await setUp(t)
  emulator.fault({ action: 'hang' })
  const held = emulator.waitFor('fault')
  const ended = emulator.waitFor('response')
  const abort = new AbortController()
  const failure = failureOf(put('k', 'x', abort.signal))
  await held
  abort.abort()
  t.match(await failure, { name: 'AbortError' })
  t.match(await ended, { outcome: 'hung', status: undefined })
})

t.test('stops reading at a byte', async (t) => {
  const { emulator, put } = await setUp(t)
  emulator.fault({ action: 'stop-reading', atByte: 100_000 })
  const held = emulator.waitFor('fault')
  const abort = new AbortController()
  const failure = failureOf(put('k', randomBytes(1_500_000), abort.signal))
  const record = await held
  t.match(record, { bytesReceived: 100_000, outcome: 'hung' })
  abort.abort()
  t.match(await failure, { name: 'AbortError' })
  t.equal(record.bytesReceived, 100_000)
  t.same(emulator.objects(), [])
})

t.test('resets before, during and after the body', async (t) => {
  const { emulator, put } = await setUp(t)
  const body = randomBytes(1_500_000)
  const cases: Array<['before-body' | 'during-body' | 'after-body', number]> = [['before-body', 0], ['during-body', 750_000], ['after-body', 1_500_000]]
  for (const [at, bytes] of cases) {
    emulator.fault({ action: 'reset', at })
    const ended = emulator.waitFor('response')
    t.match((await failureOf(put('k', body))).code, /ECONNRESET|EPIPE/, at)
    t.match(await ended, { outcome: 'reset', bytesReceived: bytes, status: undefined }, at)
  }
  emulator.fault({ action: 'reset', at: 'during-body', atByte: 10 })
  const ended = emulator.waitFor('response')
  await failureOf(put('k', body))
  t.match(await ended, { bytesReceived: 10 })
  t.same(emulator.objects(), [])
})

t.test('resets with RST', async (t) => {
  const { emulator } = await setUp(t)
  emulator.fault({ action: 'reset' })
  const socket = connect(emulator.port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    socket.on('error', resolve).on('end', () => resolve(undefined)).resume()
  })
  t.equal(error?.code, 'ECONNRESET')
})

t.test('loses the answer to what it applied', async (t) => {
  const { emulator, client, put, Bucket } = await setUp(t, { minPartBytes: 1 })
  emulator.fault({ operation: ['PutObject', 'CompleteMultipartUpload'], action: 'lose-answer', times: 2 })
  t.match(await failureOf(put('k', 'kept')), { code: 'ECONNRESET' })
  t.equal(emulator.read('k')?.toString(), 'kept')

  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key: 'm' }))
  const { ETag } = await client.send(new UploadPartCommand({ Bucket, Key: 'm', UploadId, PartNumber: 1, Body: 'part' }))
  const complete = () => client.send(new CompleteMultipartUploadCommand({ Bucket, Key: 'm', UploadId, MultipartUpload: { Parts: [{ PartNumber: 1, ETag }] } }))
  t.match(await failureOf(complete()), { code: 'ECONNRESET' })
  t.equal(emulator.read('m')?.toString(), 'part')
  t.match(await failureOf(complete()), { name: 'NoSuchUpload' })
})

t.test('applies and never answers', async (t) => {
  const { emulator, put } = await setUp(t)
  emulator.fault({ action: 'lose-answer-hang' })
  const held = emulator.waitFor('fault')
  const abort = new AbortController()
  const failure = failureOf(put('k', 'kept', abort.signal))
  await held
  t.equal(emulator.read('k')?.toString(), 'kept')
  abort.abort()
  t.match(await failure, { name: 'AbortError' })
})

t.test('does not pretend to have applied what it had to refuse', async (t) => {
  const { emulator, put } = await setUp(t, { capabilities: ['readFiles'] })
  emulator.fault({ action: 'lose-answer' })
  const ended = emulator.waitFor('response')
  t.match(await failureOf(put('k')), { code: 'ECONNRESET' })
  t.match(await ended, { errorCode: 'AccessDenied', status: undefined, outcome: 'reset' })
  t.same(emulator.objects(), [])
})

t.test('says error in a 200, which the SDK takes for a success without ETag', async (t) => {
  const { emulator, put } = await setUp(t)
  emulator.fault({ action: 'error-in-200' })
  const answer = await put('k')
  t.match(answer, { ETag: undefined, $metadata: { httpStatusCode: 200 } })
  t.same(emulator.objects(), [])
  emulator.fault({ action: 'error-in-200', apply: true })
  t.equal((await put('k')).ETag, undefined)
  t.equal(emulator.objects().length, 1)
})

t.test('leaves the ETag out', async (t) => {
  const { emulator, client, put, Bucket } = await setUp(t, { minPartBytes: 1 })
  emulator.fault({ operation: 'PutObject', action: 'no-etag' })
  t.match(await put('k'), { ETag: undefined, VersionId: String })
  t.equal(emulator.objects().length, 1)
  emulator.fault({ operation: 'PutObject', action: 'no-etag', apply: false })
  t.equal((await put('k2')).ETag, undefined)
  t.equal(emulator.objects().length, 1)

  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key: 'm' }))
  const { ETag } = await client.send(new UploadPartCommand({ Bucket, Key: 'm', UploadId, PartNumber: 1, Body: 'part' }))
  emulator.fault({ operation: 'CompleteMultipartUpload', action: 'no-etag' })
  const done = await client.send(new CompleteMultipartUploadCommand({ Bucket, Key: 'm', UploadId, MultipartUpload: { Parts: [{ PartNumber: 1, ETag }] } }))
  t.match(done, { ETag: undefined, Key: 'm' })
  t.equal(emulator.read('m')?.toString(), 'part')
})

t.test('cuts an answer short', async (t) => {
  const { emulator, client, put, Bucket } = await setUp(t)
  await put('k', randomBytes(500_000))
  for (const [atByte, length] of [[undefined, 250_000], [7, 7], [0, 0]] as const) {
    emulator.fault({ operation: 'GetObject', action: 'truncate-answer', ...(atByte === undefined ? {} : { atByte }) })
    const ended = emulator.waitFor('response')
    const got = await client.send(new GetObjectCommand({ Bucket, Key: 'k' }))
    t.equal(got.ContentLength, 500_000)
    let received = 0
    await t.rejects(async () => {
      for await (const chunk of got.Body as AsyncIterable<Buffer>) received += chunk.length
    }, { code: 'ECONNRESET' })
    t.equal(received, length)
    t.match(await ended, { outcome: 'cut', status: 200 })
  }
})

t.test('answers garbage', async (t) => {
  const { emulator, put } = await setUp(t)
  emulator.fault({ action: 'garbage' })
  t.match(await failureOf(put('k')), { code: /^HPE_/ })
  t.same(emulator.objects(), [])
})

t.test('delays an answer whose effect is already there', async (t) => {
  const { emulator, put } = await setUp(t)
  emulator.fault({ delayMs: 3_600_000 })
  const abort = new AbortController()
  const failure = failureOf(put('k', 'x', abort.signal))
  const ended = emulator.waitFor('response')
  await emulator.waitFor('applied')
  t.equal(emulator.objects().length, 1)
  abort.abort()
  t.match(await failure, { name: 'AbortError' })
  t.match(await ended, { outcome: 'client-gone' })

  emulator.fault({ delayMs: 20, status: 500 })
  t.match(await failureOf(put('late')), { status: 500 })
  emulator.throttle({ latencyMs: 20 })
  await put('late')
})

t.test('reads and writes no faster than told, for as long as told', async (t) => {
  const { emulator, client, put, Bucket } = await setUp(t)
  const body = randomBytes(200_000)
  emulator.throttle({ bytesPerSecond: 10 })
  const storing = put('k', body)
  const record = await emulator.waitFor('request')
  while (record.bytesReceived === 0) await new Promise(setImmediate)
  t.ok(record.bytesReceived < 1000, 'unthrottled it would be a whole chunk')
  emulator.throttle(null)
  await storing
  t.equal(emulator.objects()[0]?.sha256, createHash('sha256').update(body).digest('hex'))

  emulator.throttle({ bytesPerSecond: 10 })
  const got = await client.send(new GetObjectCommand({ Bucket, Key: 'k' }))
  const chunks: Buffer[] = []
  for await (const chunk of got.Body as AsyncIterable<Buffer>) {
    if (chunks.length === 0) {
      t.ok(chunk.length < 1000, 'unthrottled it would be a whole chunk')
      emulator.throttle(null)
    }
    chunks.push(chunk)
  }
  t.same(Buffer.concat(chunks), body)
})

t.test('ends a throttled request at once when it is closed', async (t) => {
  const { emulator, put } = await setUp(t)
  emulator.fault({ operation: 'PutObject', bytesPerSecond: 1 })
  const failure = failureOf(put('slow', randomBytes(200_000)))
  const record = await emulator.waitFor('request')
  await emulator.close()
  t.match(await failure, { code: 'ECONNRESET' })
  t.equal(record.outcome, 'closed')
  t.ok(record.bytesReceived < 1000)
})

t.test('speaks TLS, faults included', async (t) => {
  const trusting = { requestHandler: { httpsAgent: new Agent({ keepAlive: true, ca: TLS.cert }) } }
  const { emulator, client, put, Bucket } = await setUp(t, { tls: TLS }, trusting)
  t.match(emulator.endpoint, /^https:/)
  const body = randomBytes(1_500_000)
  await put('k', body)
  const got = await client.send(new GetObjectCommand({ Bucket, Key: 'k' }))
  t.same(Buffer.from(await got.Body!.transformToByteArray()), body)
  emulator.fault({ action: 'lose-answer' })
  t.match((await failureOf(put('lost', body))).code, 'ECONNRESET')
  t.equal(emulator.objects().length, 2)
  emulator.fault({ status: 403, early: true })
  t.match(await failureOf(put('early', body)), { name: 'AccessDenied' })
  emulator.fault({ action: 'hang' })
  const held = emulator.waitFor('fault')
  const failure = failureOf(put('hung'))
  await held
  await emulator.close()
  t.match(await failure, { code: 'ECONNRESET' })
  t.equal(emulator.openConnections, 0)
})

t.test('is not trusted by a client that does not know its certificate', async (t) => {
  const { emulator, put } = await setUp(t, { tls: TLS })
  t.match(await failureOf(put('k')), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
  t.same(emulator.requests, [])
})

t.test('serves requests that were sent without waiting for the answer before', async (t) => {
  const { emulator } = await setUp(t)
  emulator.fault({ action: 'hang' })
  const held = emulator.waitFor('fault')
  const socket = connect(emulator.port, '127.0.0.1')
  const ended = emulator.waitFor('response', ({ id }) => id === 2)
  socket.write('GET /a/1 HTTP/1.1\r\nHost: x\r\n\r\nGET /a/2 HTTP/1.1\r\nHost: x\r\n\r\n')
  await held
  socket.destroy()
  t.match(await ended, { outcome: 'client-gone', key: '2' })
})

t.test('tells connections apart', async (t) => {
  const { emulator, client, put, Bucket } = await setUp(t)
  await put('k')
  await client.send(new HeadObjectCommand({ Bucket, Key: 'k' }))
  emulator.fault({ action: 'reset' })
  await failureOf(put('k'))
  await put('k')
  const [first, second, third, fourth] = emulator.requests.map(({ connection }) => connection)
  t.equal(first, second)
  t.equal(second, third)
  t.not(third, fourth)
})

t.test('keeps requests until they are released', async (t) => {
  const { emulator, put } = await setUp(t)
  const content = randomBytes(100_000)
  for (const [event, fault] of [['applied', { delayMs: Infinity, times: 2 }], ['request', { bytesPerSecond: 1, times: 2 }]] as const) {
    const held = emulator.fault(fault)
    const begun = emulator.waitFor(event)
    const first = put('k', content)
    t.match(await begun, { fault })
    t.match(emulator.requests.at(-1), { status: undefined, outcome: 'pending' })
    held.release()
    await first
    t.ok(emulator.read('k')!.equals(content))
    await put('k', content)
    t.equal(held.applied, 2, 'which keeps none from then on')
  }
})
