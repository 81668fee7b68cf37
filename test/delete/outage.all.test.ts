import t from 'tap'
import type { Test } from 'tap'
import type { B2Emulator, Fault } from '../../emulator/index.ts'
import { KIB, MIB, setPromotionStage } from '../support/promotion/promotion.ts'
import { isError } from '../support/clients/raw-http.ts'
import { bytes, put, sha256 } from '../support/service/service.ts'
import { contentOf, isEmpty, isNotFound, nameOf, receiptOf, remove } from '../support/service/stored-files.ts'

const ID = '01890a5d-ac96-774b-bcce-b302099a8057'
const HASTY = { B2_STALL_TIMEOUT_MS: '300' }

interface Outage {
  readonly size: number
  readonly env?: Record<string, string>
  /** Returns what ends it. */
  begin (b2: B2Emulator): Promise<() => Promise<void>>
}

function faulty (size: number, fault: Fault, env = {}): Outage {
  return {
    size,
    env,
    async begin (b2) {
      const { cancel } = b2.fault({ ...fault, times: Infinity })
      return async () => cancel()
    },
  }
}

const OUTAGES: Record<string, Outage> = {
  '503s': faulty(KIB, { status: 503 }),
  'no answers': faulty(6 * MIB, { action: 'hang' }, HASTY),
  resets: faulty(KIB, { action: 'reset', at: 'before-body' }),
  'a wrong key': faulty(6 * MIB, { status: 403, code: 'SignatureDoesNotMatch' }),
  'a key that may not delete': faulty(KIB, { operation: 'DeleteObject', status: 403 }),
  'refused connections': {
    size: 6 * MIB,
    async begin (b2) {
      await b2.refuseConnections()
      return async () => { await b2.acceptConnections() }
    },
  },
}

/** Both stores have the file, as after a write whose answer was lost. */
async function storeInBoth (t: Test, { b2, service }: Pick<Awaited<ReturnType<typeof setPromotionStage>>, 'b2' | 'service'>, size: number): Promise<string> {
  const lost = b2.fault({ operation: ['PutObject', 'CompleteMultipartUpload'], key: key => !key.endsWith('.json'), action: 'lose-answer', times: Infinity })
  const blind = b2.fault({ operation: 'HeadObject', status: 403, times: Infinity })
  const { body } = await put(service, bytes(size), 'song.mp3')
  lost.cancel()
  blind.cancel()
  t.equal(body.storage, 'local')
  t.ok(b2.read(body.track.key))
  return nameOf(body.track.key)
}

for (const [outage, { size, env = {}, begin }] of Object.entries(OUTAGES)) {
  t.test(`${outage}: a file that is here is gone at once, and from B2 when that is back`, async t => {
    const { b2, service, uploads } = await setPromotionStage(t, env)
    const name = await storeInBoth(t, { b2, service }, size)
    const end = await begin(b2)
    for (let count = 0; count < 2; count++) {
      t.equal((await remove(service, name)).status, 204)
      await isNotFound(t, service, name)
    }
    t.match(await uploads.status(), { pending_promotions: 0 })
    t.ok(b2.read(`tracks/${name}`), 'B2 has it still')
    t.match(await service.localFiles(), [/^\.leftovers\//], 'which is written down')
    await end()
    await isNotFound(t, service, name)
    await isEmpty(t, b2, service)
  })

  t.test(`${outage}: nor does a restart bring it back, whenever it comes`, async t => {
    const first = await setPromotionStage(t, env)
    const { b2 } = first
    const name = await storeInBoth(t, first, 6 * MIB)
    const end = await begin(b2)
    t.equal((await remove(first.service, name)).status, 204)
    await first.service.app.close()
    t.ok(b2.read(`tracks/${name}`))

    const second = await setPromotionStage(t, { ...env, LOCAL_STORAGE_DIR: first.service.dir }, b2)
    await isNotFound(t, second.service, name)
    t.match(await second.uploads.promote(), { promoted: 0, pending: 0 })
    await end()
    await isNotFound(t, second.service, name)
    await isEmpty(t, b2, second.service)
  })

  t.test(`${outage}: a file that is not known here may still be stored, and nothing changes`, async t => {
    const { b2, service } = await setPromotionStage(t, env)
    const content = bytes(6 * MIB)
    const name = nameOf((await put(service, content, 'song.mp3')).body.location)
    const end = await begin(b2)
    const [versions, files] = [b2.versions(), await service.localFiles()]
    const answer = await remove(service, name)
    isError(t, answer, 503, 'storage_unavailable')
    t.match(answer.headers.get('retry-after'), /^[1-9]\d*$/)
    t.match(service.log.of('remove.failed'), [{ level: 40, name, error_code: String, b2_says: String, hints: Array }])
    t.same(b2.versions(), versions)
    t.same(await service.localFiles(), files)
    await end()
    t.match(await receiptOf(service, name), { status: 200, body: { storage: 'b2' } })
    t.equal(await contentOf(service, name), sha256(content))
    t.equal((await remove(service, name)).status, 204)
    await isEmpty(t, b2, service)
  })
}

t.test('a removal that B2 cut off halfway is finished', async t => {
  const { b2, service } = await setPromotionStage(t)
  const name = await storeInBoth(t, { b2, service }, 6 * MIB)
  b2.fault({ operation: 'DeleteObject', after: 1, status: 503 })
  t.equal((await remove(service, name)).status, 204)
  await isNotFound(t, service, name)
  await isEmpty(t, b2, service)
})

t.test('a name that nobody knows may be a file in B2 while that is out of reach; in the circuit it does not count', async t => {
  const { b2, service, uploads } = await setPromotionStage(t, { BREAKER_THRESHOLD: '1' })
  const down = b2.fault({ status: 503, times: Infinity })
  isError(t, await remove(service, ID), 503, 'storage_unavailable')
  t.match(await uploads.status(), { b2: { state: 'closed', last_error: null } })
  down.cancel()
  t.equal((await remove(service, ID)).status, 204)
})
