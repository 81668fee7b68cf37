import nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t from 'tap'
import { createLocalStore } from '../../services/local/store.ts'
import { withDefaults } from '../../services/config/options.ts'
import { silentLog } from '../../services/log.ts'
import { createUploads } from '../../services/uploads.ts'
import { storeOn } from '../support/b2/stage.ts'
import { bytes, startB2 } from '../support/service/service.ts'
import { KIB } from '../support/promotion/promotion.ts'

t.test('a file that was promoted before its upload failed at the last step is removed again', async t => {
  const b2 = await startB2(t)
  const dir = t.testdir({ tracks: {} })
  let isPromoted = (): void => {}
  const promoted = new Promise<void>(resolve => { isPromoted = resolve })
  let isVisible = (): void => {}
  const visible = new Promise<void>(resolve => { isVisible = resolve })
  const open: typeof nodeFs.open = async (path, flags, mode) => {
    const handle = await nodeFs.open(path, flags, mode)
    // The sync of the directory after the file got its name.
    if (flags !== 'r' || !String(path).endsWith('/tracks')) return handle
    handle.sync = async () => {
      isVisible()
      await promoted
      throw Object.assign(new Error('i/o error'), { code: 'EIO', syscall: 'fsync' })
    }
    return handle
  }
  const local = createLocalStore({ dir, fs: { open } })
  await local.open()
  const store = storeOn(t, b2, { leftoversDir: join(dir, '.leftovers'), isWanted: async key => await local.find(key) !== undefined })
  const uploads = createUploads(withDefaults('', { b2: store, local, log: silentLog, promoteIntervalMs: 0 }))
  // Within one process the promotion would wait for the same sync.
  const otherLocal = createLocalStore({ dir })
  await otherLocal.open()
  const other = createUploads(withDefaults('', { b2: store, local: otherLocal, log: silentLog, promoteIntervalMs: 0 }))
  t.teardown(async () => {
    await Promise.all([uploads.close(), other.close()])
    await Promise.all([local.close(), otherLocal.close()])
  })

  const down = b2.fault({ operation: 'PutObject', status: 503, times: Infinity })
  const storing = uploads.store(Readable.from([bytes(KIB)]))
  await visible
  down.cancel()
  t.match(await other.promote(), { promoted: 1 })
  t.equal(b2.versions().length, 1)
  isPromoted()
  await t.rejects(storing, { name: 'UploadError', error_code: 'storage_unavailable' })
  while (b2.versions().length > 0) await b2.waitFor('response')
  t.same(await nodeFs.readdir(join(dir, 'tracks')), [])
})
