import Fastify from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import b2Uploads, { optionsFromEnv } from '../../index.ts'
import type { Receipt } from '../../index.ts'
import { CALM } from '../support/promotion/promotion.ts'
import { b2Env, bytes, createLogBook, filesBelow, sha256, startB2 } from '../support/service/service.ts'
import { contentOf, nameOf } from '../support/service/stored-files.ts'
import { begin, beginFailed, checkSplit, DOWN, isJoined, OUTGROWN, PART, promoteAll, setSplitStage, SIZE } from '../support/split/split.ts'

/** A service in a host that is told of its files. */
async function startHost (t: Test) {
  const b2 = await startB2(t)
  const log = createLogBook()
  const app = Fastify({ logger: { level: 'info', stream: log.stream } })
  t.teardown(() => app.close())
  const dir = t.testdir()
  const told: [string, Receipt][] = []
  await app.register(b2Uploads, {
    ...optionsFromEnv({ ...b2Env(b2), ...CALM, ...OUTGROWN, LOCAL_STORAGE_DIR: dir }),
    onStored: receipt => { told.push(['stored', receipt]) },
    onPromoted: receipt => { told.push(['promoted', receipt]) },
  })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  return { b2, told, uploads: app.uploads, service: { app, url, log, dir, localFiles: () => filesBelow(dir) } }
}

t.test('B2 is back before the request ends: the file is stored there as ever', async t => {
  const stage = await startHost(t)
  const { b2, service, told, uploads } = stage
  const content = bytes(SIZE)
  const upload = await beginFailed({ b2, service }, content)
  const { status, body } = await upload.finish()
  t.match({ status, body }, { status: 201, body: { storage: 'b2', location: body.track.key, fallback_from_b2: undefined, fallback_reason: undefined, split: undefined, track: { sha256: sha256(content) } } })
  t.same(await service.localFiles(), [], 'nothing is left locally by the time of the answer')
  t.match(service.log.of('upload.stored'), [{ level: 30, storage: 'b2', fallback_from_b2: false }])
  t.same(service.log.of('promotion.done'), [])
  t.same(told, [['stored', body]], 'it was not promoted')
  t.match(await uploads.promote(), { promoted: 0, pending: 0 })
  await isJoined(t, stage, { key: body.track.key, content })
})

t.test('the host is told that a file was split, and when it is in B2', async t => {
  const stage = await startHost(t)
  const { b2, service, told, uploads } = stage
  const content = bytes(SIZE)
  const upload = await begin(service, b2, content)
  const down = b2.fault(DOWN)
  const answer = await upload.finish()
  checkSplit(t, answer, content)
  t.same(told, [['stored', answer.body]])
  down.cancel()
  await uploads.promote()
  const { track } = answer.body
  t.same(told.slice(1), [['promoted', { storage: 'b2', location: track.key, track }]])
  await isJoined(t, stage, { key: track.key, content })
})

for (const operation of ['ListParts', 'UploadPart', 'PutObject', 'CompleteMultipartUpload', 'HeadObject'] as const) {
  t.test(`B2 is back, and fails again at ${operation}, before the client is answered: the file is split`, async t => {
    const stage = await setSplitStage(t)
    const { b2, service } = stage
    const content = bytes(SIZE)
    const upload = await beginFailed({ b2, service }, content)
    const again = b2.fault({ operation, status: 503, times: Infinity })
    const answer = await upload.finish()
    checkSplit(t, answer, content)
    t.ok(again.applied > 0)
    t.match(answer.body.split, { b2_bytes: PART })
    again.cancel()
    await promoteAll(stage)
    await isJoined(t, stage, { key: answer.body.track.key, content })
  })
}

t.test('a try that takes too long goes on as a promotion', async t => {
  const stage = await setSplitStage(t, { B2_ACK_TIMEOUT_MS: '500', B2_STALL_TIMEOUT_MS: '60000' })
  const { b2, service } = stage
  const content = bytes(SIZE)
  const upload = await beginFailed({ b2, service }, content)
  const hangs = b2.fault({ operation: ['HeadObject', 'ListParts', 'CompleteMultipartUpload'], action: 'hang', times: Infinity })
  const answer = await upload.finish()
  checkSplit(t, answer, content)
  hangs.cancel()
  await promoteAll(stage)
  await isJoined(t, stage, { key: answer.body.track.key, content })
  t.equal(await contentOf(service, nameOf(answer.body.track.key)), sha256(content))
})
