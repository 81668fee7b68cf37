import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import t from 'tap'
import type { Test } from 'tap'
import { CompleteMultipartUploadCommand, CreateMultipartUploadCommand, PutObjectCommand, UploadPartCommand } from '@aws-sdk/client-s3'
import { failureOf, setUp } from '../support/b2/emulator-client.ts'

const tagOf = (part: string): string => `"${createHash('md5').update(part).digest('hex')}"`

async function begin (t: Test) {
  const { emulator, client, put, Bucket } = await setUp(t, { minPartBytes: 1 })
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key: 'm' }))
  const upload = { Bucket, Key: 'm', UploadId }
  const part = (PartNumber: number, Body: string) => client.send(new UploadPartCommand({ ...upload, PartNumber, Body }))
  const complete = (...tags: Array<string | undefined>) => client.send(new CompleteMultipartUploadCommand({
    ...upload, MultipartUpload: { Parts: tags.map((ETag, index) => ({ PartNumber: index + 1, ETag })) },
  }))
  return { emulator, client, put, Bucket, part, complete }
}

t.test('carries an object out after its client has seen a reset, a hang or an error', async (t) => {
  const { emulator, put } = await setUp(t)
  const reset = emulator.fault({ key: 'reset', action: 'reset', late: true })
  t.match(await failureOf(put('reset', 'one')), { code: 'ECONNRESET' })
  const error = emulator.fault({ key: 'error', status: 504, late: true })
  t.match(await failureOf(put('error', 'two')), { status: 504 })

  const hang = emulator.fault({ key: 'hang', action: 'hang', late: true })
  const [held, ended] = [emulator.waitFor('fault'), emulator.waitFor('response')]
  const abort = new AbortController()
  const failure = failureOf(put('hang', 'three', abort.signal))
  const record = await held
  abort.abort()
  t.match(await failure, { name: 'AbortError' })
  t.match(await ended, { outcome: 'hung', status: undefined })

  t.same([emulator.objects(), reset.held, error.held, hang.held], [[], 1, 1, 1])
  const applied = emulator.waitFor('applied')
  t.equal(hang.land(), 1)
  t.equal(await applied, record)
  t.equal(emulator.read('hang')?.toString(), 'three')
  t.same([reset.land(), error.land()], [1, 1])
  t.match(emulator.objects().map(({ key }) => key), ['error', 'hang', 'reset'])
  t.same([hang.land(), hang.held, hang.applied], [0, 0, 1], 'each but once')
  t.equal(emulator.versions().length, 3)
})

t.test('carries out parts late, in their order, on the upload as it is by then', async (t) => {
  const { emulator, part, complete } = await begin(t)
  const late = emulator.fault({ operation: 'UploadPart', action: 'reset', late: true, times: 3 })
  for (const [number, body] of [[1, 'frist'], [1, 'first'], [2, 'second']] as const) t.match(await failureOf(part(number, body)), { code: 'ECONNRESET' })
  t.match(emulator.unfinishedUploads(), [{ parts: [] }])
  await part(2, 'replaced')
  t.equal(late.land(), 3)
  t.match(emulator.unfinishedUploads(), [{ parts: [1, 2] }])
  await complete(tagOf('first'), tagOf('second'))
  t.equal(emulator.read('m')?.toString(), 'firstsecond')
})

t.test('completes an upload late', async (t) => {
  const { emulator, part, complete } = await begin(t)
  const late = emulator.fault({ operation: 'CompleteMultipartUpload', action: 'reset', late: true })
  const { ETag } = await part(1, 'part')
  t.match(await failureOf(complete(ETag)), { code: 'ECONNRESET' })
  t.same([emulator.objects().length, emulator.unfinishedUploads().length], [0, 1])
  late.cancel()
  t.equal(late.land(), 1, 'even if the fault was cancelled')
  t.equal(emulator.read('m')?.toString(), 'part')
  t.match(await failureOf(complete(ETag)), { name: 'NoSuchUpload' })
})

t.test('does nothing late for an upload that was ended meanwhile', async (t) => {
  const { emulator, part, complete } = await begin(t)
  const late = emulator.fault({ operation: ['CompleteMultipartUpload', 'UploadPart'], after: 1, times: 2, action: 'reset', late: true })
  const { ETag } = await part(1, 'part')
  await failureOf(complete(ETag))
  await failureOf(part(2, 'more'))
  t.equal(emulator.endUnfinishedUploads(), 1)
  t.equal(late.land(), 0)
  t.same([emulator.versions(), emulator.unfinishedUploads()], [[], []])
  t.match(emulator.requests.slice(-2), [{ errorCode: 'NoSuchUpload', status: undefined }, { errorCode: 'NoSuchUpload' }])
})

t.test('holds nothing back of a client that leaves in the middle of its body, or that is refused', async (t) => {
  const { emulator, client, Bucket } = await setUp(t, { namePrefix: 'own/' })
  const late = emulator.fault({ action: 'hang', late: true, times: Infinity })
  const abort = new AbortController()
  const body = new Readable({ read () {} })
  body.push(Buffer.alloc(1000))
  const [begun, ended] = [emulator.waitFor('request'), emulator.waitFor('response')]
  const sending = failureOf(client.send(new PutObjectCommand({ Bucket, Key: 'own/k', Body: body, ContentLength: 2000 }), { abortSignal: abort.signal }))
  await begun
  abort.abort()
  t.match(await sending, { name: 'AbortError' })
  t.match(await ended, { outcome: 'client-gone' })
  t.same([late.applied, late.held, late.land()], [1, 0, 0])

  const held = emulator.waitFor('fault')
  const leave = new AbortController()
  const refused = failureOf(client.send(new PutObjectCommand({ Bucket, Key: 'other', Body: 'x' }), { abortSignal: leave.signal }))
  await held
  leave.abort()
  await refused
  t.equal(late.land(), 0)
  t.same(emulator.versions(), [])
})

t.test('forgets what it holds back on reset, but not when it refuses connections or its faults are cleared', async (t) => {
  const { emulator, put } = await setUp(t)
  const late = emulator.fault({ action: 'reset', late: true, times: 2 })
  await failureOf(put('kept'))
  emulator.clearFaults()
  await emulator.refuseConnections()
  t.equal(late.land(), 1)
  await emulator.acceptConnections()
  t.match(emulator.objects(), [{ key: 'kept' }])

  const dropped = emulator.fault({ action: 'reset', late: true })
  await failureOf(put('dropped'))
  emulator.reset()
  t.same([dropped.held, dropped.land(), emulator.versions()], [0, 0, []])
})
