import t from 'tap'
import type { Test } from 'tap'
import { fallBackFor, hold, HOLDS } from '../support/promotion/held-promotions.ts'
import { CALM, setPromotionStage } from '../support/promotion/promotion.ts'
import type { PromotionStage } from '../support/promotion/promotion.ts'
import { runServer } from '../support/service/server-process.ts'
import { b2Env, startB2, startService } from '../support/service/service.ts'
import { isEmpty, isNotFound, remove } from '../support/service/stored-files.ts'

/** Two services on one directory and one bucket. */
async function setTwo (t: Test, env: Record<string, string> = {}): Promise<{ first: PromotionStage, second: PromotionStage }> {
  const first = await setPromotionStage(t, env)
  return { first, second: await setPromotionStage(t, { LOCAL_STORAGE_DIR: first.service.dir }, first.b2) }
}

const holdAt = (name: string) => HOLDS.find(hold => hold.name === name)!

for (const held of HOLDS) {
  t.test(`a file that one service deletes while another one promotes it is gone in the end: ${held.name}`, async t => {
    const { first, second } = await setTwo(t)
    const { b2, service, uploads } = first
    const name = await fallBackFor(held, first)
    const { begun, release } = hold(b2, held)
    const promoting = uploads.promote()
    await begun
    t.equal((await remove(second.service, name)).status, 204)
    release()
    t.match(await promoting, { failed: 0, set_aside: 0, pending: 0 })
    t.same(service.log.of('promotion.failed'), [], 'which is no failure')
    await isEmpty(t, b2, service)
    for (const { service } of [first, second]) await isNotFound(t, service, name)
    t.match(await second.uploads.promote(), { promoted: 0, pending: 0 })
  })
}

t.test('it is gone, too, where the promotion fails after that', async t => {
  for (const [name, fault] of [
    ['a put on its way', { operation: 'HeadObject', after: 1, status: 503 }],
    ['a put on its way', { operation: 'HeadObject', after: 1, status: 403 }],
    ['a receipt on its way', { operation: 'CompleteMultipartUpload', status: 503 }],
    ['a receipt on its way', { operation: 'UploadPart', part: 2, status: 403 }],
    ['the completion on its way', { operation: 'HeadObject', after: 1, action: 'reset' }],
  ] as const) {
    await t.test(`${name}, then ${JSON.stringify(fault)}`, async t => {
      const { first, second } = await setTwo(t)
      const { b2, service, uploads } = first
      const held = holdAt(name)
      const file = await fallBackFor(held, first)
      const { begun, release } = hold(b2, held)
      b2.fault({ ...fault, key: key => !key.endsWith('.receipt.json'), times: Infinity })
      const promoting = uploads.promote()
      await begun
      t.equal((await remove(second.service, file)).status, 204)
      release()
      t.match(await promoting, { pending: 0 })
      b2.clearFaults()
      await isEmpty(t, b2, service)
      for (const { service } of [first, second]) await isNotFound(t, service, file)
    })
  }
})

t.test('and where the service that promotes it ends', async t => {
  const { first, second } = await setTwo(t, { SHUTDOWN_GRACE_MS: '100' })
  const { b2, service, uploads } = first
  const name = await fallBackFor(holdAt('a put on its way'), first)
  // B2 gets it, and its answer never comes.
  const { begun } = hold(b2, { fault: { operation: 'PutObject', bytesPerSecond: 200_000, delayMs: Infinity } })
  const applied = b2.waitFor('applied', ({ operation }) => operation === 'PutObject')
  const promoting = uploads.promote()
  await begun
  t.equal((await remove(second.service, name)).status, 204)
  await applied
  await service.app.close()
  await promoting
  const third = await startService(t, { ...b2Env(b2), ...CALM, LOCAL_STORAGE_DIR: service.dir })
  await isEmpty(t, b2, third)
  await isNotFound(t, third, name)
})

t.test('and where the process that promotes it is killed before it can notice', async t => {
  const { b2, service, fallBack } = await setPromotionStage(t)
  const { key } = await fallBack(1_000)
  const name = key.slice('tracks/'.length)
  // B2 has it once all of it came; its answer is late.
  const fault = { operation: 'PutObject', bytesPerSecond: 2_000, delayMs: 3_600_000 } as const
  b2.fault(fault)
  const begun = b2.waitFor('request', record => record.fault === fault)
  const applied = b2.waitFor('applied', ({ operation }) => operation === 'PutObject')
  const other = runServer(t, { ...b2Env(b2), ...CALM, LOCAL_STORAGE_DIR: service.dir, PROMOTE_INTERVAL_MS: '100' })
  await begun
  t.equal((await remove(service, name)).status, 204)
  t.same(b2.versions(), [], 'it is not there yet')
  await isNotFound(t, service, name)
  await applied
  other.child.kill('SIGKILL')
  await other.exited
  await isNotFound(t, service, name)
  while (b2.versions().length > 0) await b2.waitFor('response')
  await isEmpty(t, b2, service)
})

t.test('a file that was deleted elsewhere is not promoted, nor does it count for long', async t => {
  const { first, second } = await setTwo(t)
  const { key } = await first.fallBack(1_000)
  t.match(await second.uploads.promote({ dryRun: true }), { pending: 1 })
  t.equal((await remove(second.service, key.slice('tracks/'.length))).status, 204)
  const requests = first.b2.requests.length
  t.match(await first.uploads.promote(), { promoted: 0, failed: 0, pending: 0 })
  t.equal(first.b2.requests.length, requests)
})

t.test('services that share a bucket alone know of each other\'s files', async t => {
  const b2 = await startB2(t)
  const [first, second] = [await setPromotionStage(t, {}, b2), await setPromotionStage(t, {}, b2)]
  const { key } = await first.fallBack(1_000)
  const name = key.slice('tracks/'.length)
  await isNotFound(t, second.service, name)
  t.match(await first.uploads.promote(), { promoted: 1 })
  t.equal((await remove(second.service, name)).status, 204)
  for (const { service } of [first, second]) await isNotFound(t, service, name)
  await isEmpty(t, b2, first.service)
})
