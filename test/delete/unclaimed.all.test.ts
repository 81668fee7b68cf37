import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import type { Fault } from '../../emulator/index.ts'
import { CALM, KIB, MIB, setPromotionStage } from '../support/promotion/promotion.ts'
import type { PromotionStage } from '../support/promotion/promotion.ts'
import { runServer } from '../support/service/server-process.ts'
import { b2Env } from '../support/service/service.ts'
import { isNotFound, nameOf, receiptOf, remove } from '../support/service/stored-files.ts'

const SLOW: Record<string, { size: number, fault: Fault }> = {
  'a small file on its way': { size: 100 * KIB, fault: { operation: 'PutObject', bytesPerSecond: 300 * KIB } },
  'the completion of a large one': { size: 6 * MIB, fault: { operation: 'CompleteMultipartUpload', bytesPerSecond: 800 } },
}

/** A file, and another process that promotes it without a claim, and is held up. */
async function setUp (t: Test, { size, fault }: { size: number, fault: Fault }) {
  const stage = await setPromotionStage(t)
  const { b2, service } = stage
  const { key } = await stage.fallBack(size)
  b2.fault(fault)
  const begun = b2.waitFor('request', record => record.fault === fault)
  // On a busy machine the promotion may have ended before that.
  const isOfIt = ({ operation }: { operation: string }): boolean => operation === fault.operation
  const applied = Promise.race([b2.waitFor('applied', isOfIt), b2.waitFor('response', isOfIt)])
  const other = runServer(t, { ...b2Env(b2), ...CALM, LOCAL_STORAGE_DIR: service.dir, PROMOTE_INTERVAL_MS: '100' }, { preload: 'test/support/disk/no-room-for-claims.ts' })
  await begun
  t.same((await service.localFiles()).filter(name => name.endsWith('.claim')), [])
  return { ...stage, key, name: nameOf(key), applied, other }
}

/** The notes of deletions; none of them may be forgotten yet. */
async function notesOf ({ service }: Pick<PromotionStage, 'service'>): Promise<object[]> {
  const names = (await service.localFiles()).filter(name => name.startsWith('.leftovers/') && name.endsWith('.json'))
  return names.map(name => JSON.parse(readFileSync(join(service.dir, name), 'utf8')))
}

for (const [what, slow] of Object.entries(SLOW)) {
  for (const isKilled of [false, true]) {
    t.test(`a file that is deleted while a process without a claim promotes it does not come back: ${what}${isKilled ? ', and the process is killed when B2 has it' : ''}`, async t => {
      const stage = await setUp(t, slow)
      const { b2, service, key, name, applied, other } = stage
      t.equal((await remove(service, name)).status, 204)
      await isNotFound(t, service, name)
      await applied
      if (isKilled) other.child.kill('SIGKILL')
      await isNotFound(t, service, name)
      while (b2.versions().length > 0) await b2.waitFor('response')
      t.match(await notesOf(stage), [{ kind: 'object', key, deleted: true, unclaimed: true }], 'which is remembered for a while')
      t.same((await service.localFiles()).filter(name => !name.startsWith('.leftovers/')), [])
      t.equal((await remove(service, name)).status, 204)
      await isNotFound(t, service, name)
    })
  }
}

t.test('a file that was promoted without a claim, and that nobody deletes, is there', async t => {
  const { b2, service, uploads, name, other } = await setUp(t, SLOW['a small file on its way']!)
  await other.line(({ event }) => event === 'promotion.done')
  t.same(await service.localFiles(), [])
  t.match(await receiptOf(service, name), { status: 200, body: { storage: 'b2' } })
  t.match(await uploads.promote(), { promoted: 0, pending: 0 })
  t.equal(b2.versions().length, 1)
})
