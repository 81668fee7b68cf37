import { CreateMultipartUploadCommand, HeadObjectCommand, PutObjectCommand, UploadPartCommand } from '@aws-sdk/client-s3'
import t from 'tap'
import type { Fault } from '../../../../emulator/index.ts'
import type { B2Command } from '../../../../services/b2/http/client.ts'
import { BODY, KEY, setUpView } from '../../../support/b2/upload-client.ts'
import type { ViewStage } from '../../../support/b2/upload-client.ts'
import { sha256 } from '../../../support/service/service.ts'
import { acceptedTls } from '../../../support/clients/tls.ts'

async function create ({ b2, view }: ViewStage): Promise<string> {
  return (await view.send(new CreateMultipartUploadCommand({ Bucket: b2.bucket, Key: KEY }) as B2Command) as { UploadId: string }).UploadId
}

async function sendPart ({ b2, view }: ViewStage, UploadId: string, PartNumber = 1): Promise<object> {
  return await view.send(new UploadPartCommand({ Bucket: b2.bucket, Key: KEY, UploadId, PartNumber, Body: BODY }) as B2Command)
}

t.test('whoever begins an upload knows its id, and whether there may be others', async t => {
  const cases: [string, Fault[], boolean, boolean, number?][] = [
    ['a success', [], true, false],
    ['a refusal', [{ status: 400 }], false, false],
    ['another refusal', [{ status: 403 }], false, false],
    ['a failure', [{ status: 500 }, { status: 500 }], false, true],
    ['a failure at the only try', [{ status: 500 }], false, true, 1],
    ['an answer that is lost', [{ action: 'lose-answer' }, { action: 'lose-answer' }], false, true],
    ['a success at the second try', [{ status: 500 }], true, true],
    ['a refusal at the second try', [{ status: 500 }, { status: 403 }], false, true],
    ['a server that is too busy', [{ status: 503 }, { status: 503 }], false, false],
    ['a success after it was too busy', [{ status: 503 }], true, false],
    ['an answer that is no HTTP', [{ action: 'garbage' }, { status: 503 }], false, true],
  ]
  for (const [name, faults, hasId, mayHaveStrays, maxAttempts = 2] of cases) {
    const stage = await setUpView(t, {}, { maxAttempts })
    for (const fault of faults) stage.b2.fault(fault)
    const id = await create(stage).catch(() => undefined)
    await stage.view.begun
    t.same({ hasId: stage.view.uploadId !== undefined, mayHaveStrays: stage.view.mayHaveStrays }, { hasId, mayHaveStrays }, name)
    t.equal(stage.view.uploadId, id)
  }
})

t.test('what begins an upload goes on to its answer though the upload is cancelled, but for the end of the store', async t => {
  for (const isClosing of [false, true]) {
    const stage = await setUpView(t)
    stage.b2.fault({ delayMs: isClosing ? 3_600_000 : 100 })
    const arrived = stage.b2.waitFor('request')
    const creating = create(stage).catch((error: unknown) => error)
    let hasBegun = false
    const begun = stage.view.begun.then(() => { hasBegun = true })
    await arrived
    stage.view.abort()
    t.equal(hasBegun, false)
    if (isClosing) stage.closing.abort()
    await begun
    t.match(await creating, isClosing ? { name: 'AbortError' } : String)
    t.same([stage.view.uploadId !== undefined, stage.view.mayHaveStrays], [!isClosing, isClosing])
  }
})

t.test('each part that B2 has is told once, and whether it was sent again', async t => {
  const stage = await setUpView(t, {}, { maxAttempts: 2 })
  const id = await create(stage)
  await sendPart(stage, id, 1)
  t.equal(stage.view.firstTry, true)
  stage.b2.fault({ status: 503 })
  await sendPart(stage, id, 2)
  t.equal(stage.view.firstTry, false)
  stage.b2.fault({ status: 503, times: Infinity })
  await t.rejects(sendPart(stage, id, 3))
  t.same(stage.acknowledged, [[1, true], [2, false]])
  t.match(stage.view, { attempts: 2, inFlight: 0, mayBeStored: false })
})

t.test('over https a part\'s hash is signed where that is asked for', async t => {
  for (const signParts of [false, true]) {
    const stage = await setUpView(t, { signParts }, {}, { tls: acceptedTls(t) })
    await sendPart(stage, await create(stage))
    t.equal(stage.b2.requests[1]!.headers['x-amz-content-sha256'], signParts ? sha256(BODY) : 'UNSIGNED-PAYLOAD')
  }
})

t.test('cancelling ends what is under way, and what would follow', async t => {
  const stage = await setUpView(t)
  stage.b2.fault({ action: 'hang' })
  const hung = stage.b2.waitFor('fault')
  const put = new PutObjectCommand({ Bucket: stage.b2.bucket, Key: KEY, Body: BODY }) as B2Command
  const sending = stage.view.send(put).catch((error: unknown) => error)
  t.equal(stage.view.inFlight, 1)
  await hung
  stage.view.abort()
  t.match(await sending, { name: 'AbortError' })
  t.match(stage.view, { inFlight: 0, attempts: 1, firstTry: false })
  await t.rejects(stage.view.send(put), { name: 'AbortError' })
  t.equal(stage.b2.requests.length, 1)
})

t.test('the first failure is the upload\'s', async t => {
  const stage = await setUpView(t)
  const [first, second] = [new Error('first'), new Error('second')]
  stage.view.fail(first)
  t.equal(stage.view.attempts, 1)
  stage.view.fail(second, 5)
  t.equal(await stage.view.failed.catch((error: unknown) => error), first)
  t.equal(stage.view.attempts, 1)
})

t.test('other requests are passed on', async t => {
  const stage = await setUpView(t)
  await t.rejects(stage.view.send(new HeadObjectCommand({ Bucket: stage.b2.bucket, Key: KEY }) as B2Command), { name: 'NotFound' })
  t.same(stage.operations(), ['HeadObject'])
  t.equal(await stage.view.config.region(), stage.b2.region)
  await stage.view.begun
})
