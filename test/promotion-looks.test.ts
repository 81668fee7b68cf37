import { setImmediate as nextTurn } from 'node:timers/promises'
import { Readable } from 'node:stream'
import t from 'tap'
import { silentLog as log } from '../services/log.ts'
import { createLocalStore } from '../services/local-store.ts'
import type { LocalStore } from '../services/local-store.ts'
import { createUploads } from '../services/uploads.ts'
import { storeOn } from './support/b2-stage.ts'
import { startB2 } from './support/service.ts'

t.test('no file is promoted while the directory is searched, as the search would take it for pending still', async t => {
  const b2 = storeOn(t, await startB2(t))
  const local = createLocalStore({ dir: t.testdir() })
  t.teardown(async () => { await local.close() })
  const localOnly = createUploads({ b2: undefined, local, log })
  await localOnly.store(Readable.from([Buffer.from('la la la')]))
  await localOnly.close()

  let searches = 0
  let endSearch = (): void => {}
  const searchMayEnd = new Promise<void>(resolve => { endSearch = resolve })
  const slow: LocalStore = {
    ...local,
    async pending () {
      searches++
      const files = await local.pending()
      if (searches === 1) await searchMayEnd
      return files
    },
  }
  const uploads = createUploads({ b2, local: slow, log, promoteIntervalMs: 0 })
  t.teardown(async () => { await uploads.close() })
  const promoting = uploads.promote()
  await nextTurn()
  t.equal(searches, 1, 'that of the start; the pass waits for it')
  endSearch()
  t.match(await promoting, { promoted: 1, pending: 0 })
  t.match(await uploads.status(), { pending_promotions: 0 })
})
