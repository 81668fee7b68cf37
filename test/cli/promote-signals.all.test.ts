import t from 'tap'
import { createLocalStore } from '../../services/local/store.ts'
import { filesIn, isPromoted, KIB, MIB, untilB2 } from '../support/promotion/promotion.ts'
import { setCommandStage } from '../support/promotion/promote-command.ts'

// Many processes are started one after the other, each of which loads all code anew.

for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143]] as const) {
  t.test(`${signal} in the middle ends it with ${code} at a safe point, and the next run does the rest`, async t => {
    const { b2, service, fallBack, run, begin } = await setCommandStage(t)
    const stored = [await fallBack(KIB), await fallBack(12 * MIB), await fallBack(KIB)]
    const before = await service.localFiles()
    b2.fault({ operation: 'UploadPart', delayMs: 300 })
    const { child, ended } = await begin('--json')
    await b2.waitFor('request', ({ operation }) => operation === 'UploadPart')
    child.kill(signal)
    await b2.waitFor('response', ({ operation }) => operation === 'UploadPart')
    child.kill(signal) // a Ctrl-C comes from the terminal and from npm

    const { code: ownCode, stdout, stderr } = await ended
    t.equal(ownCode, code)
    t.match(JSON.parse(stdout), { promoted: 1, failed: 0, pending: 2, files: [{ key: stored[0]!.key }] })
    t.match(stderr, new RegExp(`^${signal} ended it at a safe point. .+\n$`))
    t.same(filesIn(b2).map(({ key }) => key), [stored[0]!.key])
    t.same(await service.localFiles(), before.filter(name => !name.startsWith(stored[0]!.key)), 'nothing is missing, and no claim is left')
    await untilB2(b2, () => b2.unfinishedUploads().length === 0)
    t.match(await run(), { code: 0, stderr: '' })
    await isPromoted(t, b2, service, stored)
  })
}

t.test('SIGTERM ends it after the grace though B2 hangs', { timeout: 30_000 }, async t => {
  const { b2, service, fallBack, run, begin } = await setCommandStage(t, { SHUTDOWN_GRACE_MS: '100', B2_STALL_TIMEOUT_MS: '3600000' })
  const stored = [await fallBack(KIB)]
  const hang = b2.fault({ operation: 'PutObject', action: 'hang' })
  const { child, ended } = await begin()
  await b2.waitFor('fault')
  child.kill('SIGTERM')
  t.match(await ended, { code: 143, stdout: `0 promoted (0 bytes), 1 not done; 1 left in ${service.dir}.\n` })
  hang.cancel()
  t.match(await run(), { code: 0, stderr: '' })
  await isPromoted(t, b2, service, stored)
})

t.test('a signal that comes when all is done changes nothing', async t => {
  const { b2, service, fallBack, begin } = await setCommandStage(t)
  const stored = [await fallBack(KIB)]
  b2.fault({ operation: 'PutObject', delayMs: 500 })
  const { child, ended } = await begin()
  await b2.waitFor('request', ({ operation }) => operation === 'PutObject')
  child.kill('SIGTERM')
  t.match(await ended, { code: 0, stdout: /^1\/1 promoted / }, 'a write that may have been stored is waited for')
  await isPromoted(t, b2, service, stored)
})

for (const [name, event, operation] of [
  ['before a part is stored', 'request', 'UploadPart'],
  ['when the object is stored and the answer not here', 'applied', 'CompleteMultipartUpload'],
] as const) {
  t.test(`killed ${name}, a second run does the work`, async t => {
    const { b2, service, fallBack, run, begin } = await setCommandStage(t)
    const stored = [await fallBack(6 * MIB), await fallBack(KIB)]
    const { child, ended } = await begin()
    await b2.waitFor(event, record => record.operation === operation)
    child.kill('SIGKILL')
    t.match(await ended, { code: null })
    for (const { key } of stored) t.ok((await service.localFiles()).includes(key), 'the file is still here')

    t.match(await run(), { code: 0, stderr: '' })
    for (const { key, content } of stored) t.ok(b2.read(key)?.equals(content))
    t.equal(b2.versions().filter(({ key }) => !key.endsWith('.receipt.json')).length, 2, 'each once')
    t.same(await service.localFiles(), [])
  })
}

t.test('a file that another process is promoting is left to it', async t => {
  const { b2, service, fallBack, run } = await setCommandStage(t)
  const stored = [await fallBack(KIB), await fallBack(KIB)]
  const [taken, free] = stored
  const other = createLocalStore({ dir: service.dir })
  t.teardown(async () => { await other.close() })
  const claim = await other.claim(taken!.key)
  const { code, stdout, stderr } = await run('--json')
  t.equal(code, 0)
  t.equal(stderr, '', 'that is no trouble')
  const files = [{ key: free!.key, outcome: 'promoted' }, { key: taken!.key, outcome: 'skipped', detail: 'Another process has it' }]
  t.match(JSON.parse(stdout), { promoted: 1, skipped: 1, elsewhere: 1, pending: 1, files })
  t.same(filesIn(b2).map(({ key }) => key), [free!.key])
  await claim!.release()
  t.equal((await run()).code, 0)
  await isPromoted(t, b2, service, stored)
})

t.test('three at once and a service promote each file once', async t => {
  const { b2, service, uploads, fallBack, run } = await setCommandStage(t)
  const stored = []
  for (let count = 0; count < 12; count++) stored.push(await fallBack(count % 4 === 0 ? 6 * MIB : KIB))
  const commands = Promise.all([run('--json'), run('--json'), run('--json')])
  await b2.waitFor('request', ({ operation }) => operation === 'HeadObject')
  const promoted = (await uploads.promote()).promoted + (await commands).map(({ stdout }) => JSON.parse(stdout).promoted as number).reduce((sum, count) => sum + count)
  t.equal(promoted, 12)
  const done = b2.requests.filter(({ operation, status }) => status === 200 && (operation === 'PutObject' || operation === 'CompleteMultipartUpload'))
  t.same(done.map(({ key }) => key).sort(), stored.map(({ key }) => key).sort())
  await isPromoted(t, b2, service, stored)
})
