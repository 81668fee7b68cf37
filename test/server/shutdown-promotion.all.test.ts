import t from 'tap'
import { isPromoted, filesIn, KIB, MIB, setPromotionStage, CALM } from '../support/promotion/promotion.ts'
import { runServer } from '../support/service/server-process.ts'
import { b2Env } from '../support/service/service.ts'

t.test('a promotion under way at SIGTERM stops at a safe point, and the next start goes on', async t => {
  const { b2, service, fallBack } = await setPromotionStage(t)
  const stored = [await fallBack(12 * MIB), await fallBack(KIB), await fallBack(6 * MIB)]
  const all = await service.localFiles()
  const start = () => runServer(t, { ...b2Env(b2), ...CALM, PROMOTE_CONCURRENCY: '1', PROMOTE_INTERVAL_MS: '100', SHUTDOWN_GRACE_MS: '60000', LOCAL_STORAGE_DIR: service.dir })

  const first = start()
  b2.fault({ operation: 'UploadPart', part: 2, delayMs: 300 })
  await b2.waitFor('request', ({ operation, partNumber }) => operation === 'UploadPart' && partNumber === 2)
  first.child.kill('SIGTERM')
  t.equal(await first.exited, 0)
  t.same(filesIn(b2), [], 'between two parts: B2 has nothing of the file')
  t.same(b2.unfinishedUploads(), [])
  t.same(await service.localFiles(), all, 'it is still here, and no claim on it is left')

  const second = start()
  b2.fault({ operation: 'CompleteMultipartUpload', delayMs: 300 })
  await b2.waitFor('applied', ({ operation }) => operation === 'CompleteMultipartUpload')
  second.child.kill('SIGTERM')
  t.equal(await second.exited, 0)
  const { key } = stored[0]!
  t.same(filesIn(b2).map(object => object.key), [key], 'stored, and only the answer is missing: it is waited for')
  t.same(await service.localFiles(), all.filter(name => !name.startsWith(key)))
  t.match(second.lines.filter(({ event }) => event?.startsWith('promotion.')), [{ event: 'promotion.done', key }])

  const third = start()
  await third.line(line => line.event === 'promotion.done' && line['key'] === stored[2]!.key)
  third.child.kill('SIGTERM')
  t.equal(await third.exited, 0)
  await isPromoted(t, b2, service, stored)
})
