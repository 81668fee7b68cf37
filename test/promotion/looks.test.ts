import { truncate } from 'node:fs/promises'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Readable } from 'node:stream'
import t from 'tap'
import { withDefaults } from '../../services/config/options.ts'
import { silentLog as log } from '../../services/log.ts'
import { LocalStoreError } from '../../services/local/errors.ts'
import { createLocalStore } from '../../services/local/store.ts'
import type { LocalStore } from '../../services/local/store.ts'
import type { PromotionProgress } from '../../services/promotion/promoter.ts'
import { createUploads } from '../../services/uploads.ts'
import { storeOn } from '../support/b2/stage.ts'
import { startB2 } from '../support/service/service.ts'

t.test('no file is promoted while the directory is searched, as the search would take it for pending still', async t => {
  const b2 = storeOn(t, await startB2(t))
  const local = createLocalStore({ dir: t.testdir() })
  t.teardown(async () => { await local.close() })
  const localOnly = createUploads(withDefaults('', { b2: undefined, local, log }))
  await localOnly.store(Readable.from([Buffer.from('la la la')]))
  await localOnly.close()

  let searches = 0
  let endSearch = (): void => {}
  const searchMayEnd = new Promise<void>(resolve => { endSearch = resolve })
  const slow: LocalStore = {
    ...local,
    async count (stop) {
      searches++
      await local.count(stop)
      if (searches === 1) await searchMayEnd
    },
    async * pending (stop) {
      searches++
      yield * local.pending(stop)
    },
  }
  const uploads = createUploads(withDefaults('', { b2, local: slow, log, promoteIntervalMs: 0 }))
  t.teardown(async () => { await uploads.close() })
  const promoting = uploads.promote()
  await nextTurn()
  t.equal(searches, 1, 'that of the start; the pass waits for it')
  endSearch()
  t.match(await promoting, { promoted: 1, pending: 0 })
  t.match(await uploads.status(), { pending_promotions: 0 })
})

t.test('a damaged file that the disk does not let set aside has failed, and is looked at again', async t => {
  const b2 = await startB2(t)
  const dir = t.testdir()
  const local = createLocalStore({ dir })
  t.teardown(async () => { await local.close() })
  const localOnly = createUploads(withDefaults('', { b2: undefined, local, log }))
  const { location } = await localOnly.store(Readable.from([Buffer.from('la la la')]))
  await localOnly.close()
  await truncate(location, 3)

  let isFull = true
  const full: LocalStore = {
    ...local,
    async setAside (key, reason) {
      if (isFull) throw new LocalStoreError('There is no room', { error_code: 'disk_full' })
      await local.setAside(key, reason)
    },
  }
  const uploads = createUploads(withDefaults('', { b2: storeOn(t, b2), local: full, log, promoteIntervalMs: 0 }))
  t.teardown(async () => { await uploads.close() })
  const told: unknown[][] = []
  const onProgress = ({ outcome, error_code: code }: PromotionProgress): void => { if (outcome !== undefined) told.push([outcome, code]) }
  t.match(await uploads.promote({ onProgress }), { failed: 1, set_aside: 0, pending: 1 })
  isFull = false
  t.match(await uploads.promote({ onProgress }), { skipped: 1 }, 'not at once')
  t.match(await uploads.promote({ onProgress }), { set_aside: 1 })
  t.same(told.filter(([outcome]) => outcome !== 'skipped'), [['failed', 'disk_full'], ['set_aside', 'checksum_mismatch']])
  t.same(b2.objects(), [])
})
