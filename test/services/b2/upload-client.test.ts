import { CompleteMultipartUploadCommand, CreateMultipartUploadCommand, PutObjectCommand, UploadPartCommand } from '@aws-sdk/client-s3'
import t from 'tap'
import type { Fault } from '../../../emulator/index.ts'
import type { B2Command } from '../../../services/b2/http/client.ts'
import type { UploadClient } from '../../../services/b2/upload-client.ts'
import { BODY, KEY, setUpView } from '../../support/b2/upload-client.ts'
import type { ViewStage } from '../../support/b2/upload-client.ts'

const PUT = 'PutObject'
const HEAD = 'HeadObject'
const COMPLETE = 'CompleteMultipartUpload'

async function sendPut ({ b2, view }: ViewStage): Promise<object> {
  return await view.send(new PutObjectCommand({ Bucket: b2.bucket, Key: KEY, Body: BODY }) as B2Command)
}

async function sendParts ({ b2, view }: ViewStage): Promise<object> {
  const common = { Bucket: b2.bucket, Key: KEY }
  const { UploadId } = await view.send(new CreateMultipartUploadCommand(common) as B2Command) as { UploadId: string }
  const { ETag } = await view.send(new UploadPartCommand({ ...common, UploadId, PartNumber: 1, Body: BODY }) as B2Command) as { ETag: string }
  return await view.send(new CompleteMultipartUploadCommand({ ...common, UploadId, MultipartUpload: { Parts: [{ PartNumber: 1, ETag }] } }) as B2Command)
}

/** What the view says in the end. */
function saying ({ firstTry, mayBeStored, mayHaveDoubles, mayHaveStrays, mayComplete, attempts, inFlight }: UploadClient) {
  return { firstTry, mayBeStored, mayHaveDoubles, mayHaveStrays, mayComplete, attempts, inFlight }
}

const WELL = { firstTry: true, mayBeStored: true, mayHaveDoubles: false, mayHaveStrays: false, mayComplete: false, attempts: 0, inFlight: 0 }
const AGAIN = { ...WELL, firstTry: false }
const FAILED = { ...AGAIN, mayBeStored: false, attempts: 1 }

interface Case {
  name: string
  faults: Fault[]
  /** Tries of one request, and rounds of looking and sending again. */
  tries?: number
  rounds?: number
  operations: string[]
  expected: object
  /** What it fails with. */
  failure?: object
}

const reset: Fault = { action: 'reset' }
const PUTS: Case[] = [
  { name: 'a success', faults: [], operations: [PUT], expected: WELL },
  { name: 'a refusal', faults: [{ status: 403 }], operations: [PUT], expected: FAILED, failure: { name: 'AccessDenied' } },
  ...[500, 502, 504].map(status => ({ name: `a ${status}, after which it may be there`, faults: [{ status }], operations: [PUT], expected: { ...FAILED, mayBeStored: true, mayHaveDoubles: true }, failure: { $metadata: { httpStatusCode: status } } })),
  ...[501, 503, 400].map(status => ({ name: `a ${status}, after which it is not`, faults: [{ status }], operations: [PUT], expected: FAILED, failure: { $metadata: { httpStatusCode: status } } })),
  { name: '500, and a refusal of the second try', faults: [{ status: 500 }, { status: 403 }], tries: 2, operations: [PUT, PUT], expected: { ...FAILED, attempts: 2, mayBeStored: true, mayHaveDoubles: true }, failure: { name: 'AccessDenied' } },
  { name: '503, and a refusal of the second try', faults: [{ status: 503 }, { status: 403 }], tries: 2, operations: [PUT, PUT], expected: { ...FAILED, attempts: 2 }, failure: { name: 'AccessDenied' } },
  { name: '500, and then a success', faults: [{ status: 500 }], tries: 2, operations: [PUT, PUT], expected: { ...AGAIN, mayHaveDoubles: true } },
  { name: '503, and then a success', faults: [{ status: 503 }], tries: 2, operations: [PUT, PUT], expected: AGAIN },
  { name: 'an answer that is lost', faults: [{ action: 'lose-answer' }], operations: [PUT, HEAD], expected: AGAIN },
  { name: 'an answer that is lost, of an object that does not show', faults: [{ action: 'lose-answer' }, { operation: HEAD, status: 404 }], operations: [PUT, HEAD, PUT], expected: { ...AGAIN, mayHaveDoubles: true } },
  { name: 'a request that is lost', faults: [reset], operations: [PUT, HEAD, PUT], expected: { ...AGAIN, mayHaveDoubles: true } },
  { name: 'one that is lost each time', faults: [reset, reset, reset], rounds: 3, operations: [PUT, HEAD, PUT, HEAD, PUT, HEAD], expected: { ...FAILED, attempts: 3, mayBeStored: true, mayHaveDoubles: true }, failure: { code: 'ECONNRESET' } },
  { name: 'one that is lost, and a refusal', faults: [reset, { status: 403 }], operations: [PUT, HEAD, PUT], expected: { ...FAILED, attempts: 2, mayBeStored: true, mayHaveDoubles: true }, failure: { name: 'AccessDenied' } },
  { name: 'one that is lost where nobody can look', faults: [reset, { operation: HEAD, status: 503 }], operations: [PUT, HEAD], expected: { ...FAILED, mayBeStored: true }, failure: { code: 'ECONNRESET' } },
  { name: 'a success without an ETag', faults: [{ action: 'no-etag' }], operations: [PUT, HEAD], expected: WELL },
  { name: 'a success that is none', faults: [{ action: 'no-etag', apply: false }], rounds: 1, operations: [PUT, HEAD], expected: { ...FAILED, mayBeStored: true, mayHaveDoubles: true }, failure: { name: 'IncompleteAnswer' } },
]

const BEFORE = ['CreateMultipartUpload', 'UploadPart', COMPLETE]
const COMPLETES: Case[] = [
  { name: 'a success', faults: [], operations: BEFORE, expected: { ...WELL, mayComplete: true } },
  { name: 'a refusal', faults: [{ status: 403 }], operations: BEFORE, expected: { ...FAILED, mayComplete: true }, failure: { name: 'AccessDenied' } },
  { name: '500', faults: [{ status: 500 }], operations: BEFORE, expected: { ...FAILED, mayComplete: true, mayBeStored: true }, failure: { $metadata: { httpStatusCode: 500 } } },
  { name: 'an answer that is lost', faults: [{ action: 'lose-answer' }], operations: [...BEFORE, HEAD], expected: { ...AGAIN, mayComplete: true } },
  { name: 'a request that is lost', faults: [reset], operations: [...BEFORE, HEAD, COMPLETE], expected: { ...AGAIN, mayComplete: true } },
  { name: '500 for what was done', faults: [{ status: 500, apply: true }], tries: 2, operations: [...BEFORE, COMPLETE, HEAD], expected: { ...AGAIN, mayComplete: true } },
  { name: 'an upload that is gone', faults: [{ status: 404, code: 'NoSuchUpload' }], operations: [...BEFORE, HEAD], expected: { ...FAILED, mayComplete: true, mayBeStored: true }, failure: { name: 'NoSuchUpload' } },
]

for (const [operation, act, cases] of [[PUT, sendPut, PUTS], [COMPLETE, sendParts, COMPLETES]] as const) {
  for (const { name, faults, tries = 1, rounds = 2, operations, expected, failure } of cases) {
    t.test(`${operation}: ${name}`, async t => {
      const stage = await setUpView(t, { maxAttempts: rounds }, { maxAttempts: tries })
      for (const fault of faults) stage.b2.fault({ operation, ...fault })
      const failed = stage.view.failed.catch((error: unknown) => error)
      const outcome = await act(stage).catch((error: unknown) => error) as { ETag?: string }
      t.same(stage.operations(), operations)
      t.same(saying(stage.view), expected)
      if (failure === undefined) {
        t.equal(outcome.ETag, `"${stage.b2.objects()[0]!.etag}"`)
      } else {
        t.match(outcome, failure)
        t.equal(await failed, outcome)
      }
    })
  }
}

t.test('an object of another size is not the one that was sent', async t => {
  const stage = await setUpView(t)
  await stage.view.send(new PutObjectCommand({ Bucket: stage.b2.bucket, Key: KEY, Body: Buffer.from('something else') }) as B2Command)
  stage.b2.fault({ operation: PUT, ...reset })
  await sendPut(stage)
  t.same(stage.operations(), [PUT, PUT, HEAD, PUT])
  t.equal(stage.b2.objects()[0]?.size, BODY.byteLength)
  const [, lost, , again] = stage.b2.requests
  t.ok(lost!.connection !== again!.connection, 'it is sent again on a new connection')
})

t.test('what is sent again goes over a new connection, all else over the one that there is', async t => {
  const stage = await setUpView(t)
  stage.b2.fault({ operation: PUT, action: 'no-etag', apply: false })
  await sendPut(stage)
  t.same(stage.operations(), [PUT, HEAD, PUT])
  await sendPut(stage)
  const [first, second, third, ...later] = stage.b2.requests.map(({ connection }) => connection)
  t.equal(second, first)
  t.not(third, first)
  t.same(later, [later[0]])
  t.ok(later[0] === first || later[0] === third)
})

t.test('a stall is waited for once more, however many rounds there are', async t => {
  const stage = await setUpView(t, { maxAttempts: 4 }, { stallTimeoutMs: 100 })
  stage.b2.fault({ operation: PUT, action: 'hang', times: Infinity })
  t.match(await sendPut(stage).catch((error: unknown) => error), { code: 'B2_STALLED' })
  t.same(stage.operations(), [PUT, HEAD, PUT, HEAD])
})
