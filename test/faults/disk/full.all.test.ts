import t from 'tap'
import type { Test } from 'tap'
import { promote } from '../../support/promotion/promote-command.ts'
import { scrape } from '../../support/service/metrics.ts'
import { CALM, filesIn, KIB, MIB, setPromotionStage } from '../../support/promotion/promotion.ts'
import { isError } from '../../support/clients/raw-http.ts'
import { b2Env, bytes, put, sha256 } from '../../support/service/service.ts'
import { mountSmallDisk, noSmallDisk } from '../../support/disk/small-disk.ts'
import { get } from '../../support/service/stored-files.ts'

const KEY = 'a-key-of-sixteen-characters'
const headers = { authorization: `Bearer ${KEY}` }

const FULL = {
  'no inode free': (disk: Awaited<ReturnType<typeof mountSmallDisk>>) => disk.useAllInodes(),
  'no byte free': (disk: Awaited<ReturnType<typeof mountSmallDisk>>) => disk.useBytes(),
}

for (const [full, fill] of Object.entries(FULL)) {
  /** Files that wait for B2 on a disk that is full by now. */
  const prepare = async (t: Test) => {
    const disk = await mountSmallDisk(t, { size: 2 * MIB, inodes: 40 })
    const { b2, service, fallBack } = await setPromotionStage(t, { LOCAL_STORAGE_DIR: disk.dir })
    const stored = [await fallBack(20 * KIB), await fallBack(30 * KIB)]
    await service.app.close()
    await fill(disk)
    return { b2, stored, env: { ...CALM, LOCAL_STORAGE_DIR: disk.dir, ENV: 'production', API_KEYS: KEY } }
  }

  t.test(`with ${full} the service starts in production, and what waits goes to B2 and makes room`, { skip: noSmallDisk }, async t => {
    const { b2, stored, env } = await prepare(t)
    const { service, uploads } = await setPromotionStage(t, env, b2)
    const warnings = service.log.lines.filter(({ msg }) => /LOCAL_STORAGE_DIR/.test(msg))
    if (full === 'no inode free') t.match(warnings, [{ level: 40, err: { error_code: 'disk_full' }, msg: /is full/ }])
    let ready
    do ready = (await get(service, '/ready', headers)).body
    while (ready.pending_promotions !== 2) // the start doesn't wait for the first look at what waits
    t.match(ready, { status: 'degraded', b2: { state: 'closed' }, local: { writable: false } })
    const { samples } = await scrape(service, headers)
    t.equal(samples.get('local_storage_writable'), 0)
    t.equal(samples.get(full === 'no inode free' ? 'local_storage_free_inodes' : 'local_storage_free_bytes'), 0)

    t.match(await put(service, bytes(KIB), 'a', headers), { status: 201, body: { storage: 'b2' } })
    const down = b2.fault({ status: 503, times: Infinity })
    const refused = await put(service, bytes(KIB), 'a', headers)
    isError(t, refused, 503, 'storage_unavailable')
    t.match(refused.body.detail, /disk_full/)
    down.cancel()

    t.match(await uploads.promote(), { promoted: 2, pending: 0 })
    for (const { key, content } of stored) t.equal(sha256(b2.read(key)!), sha256(content))
    t.same(await service.localFiles(), [])
    t.match((await get(service, '/ready', headers)).body, { status: 'ok', local: { writable: true } })
    b2.fault({ status: 503, times: Infinity })
    t.match(await put(service, bytes(KIB), 'a', headers), { status: 201, body: { storage: 'local' } })
  })

  t.test(`with ${full} the promote command does its work`, { skip: noSmallDisk }, async t => {
    const { b2, stored, env } = await prepare(t)
    t.match(await promote(t, [], { ...b2Env(b2), ...env }), { code: 0, stderr: '' })
    t.same(filesIn(b2).map(({ key }) => key).sort(), stored.map(({ key }) => key).sort())
  })
}

t.test('a disk that can take a file, but not its receipt, is not writable', { skip: noSmallDisk }, async t => {
  const { dir, useAllInodes, giveInodeBack } = await mountSmallDisk(t, { size: MIB, inodes: 40 })
  const { service } = await setPromotionStage(t, { LOCAL_STORAGE_DIR: dir })
  await useAllInodes()
  for (const writable of [false, true]) {
    await giveInodeBack()
    t.match((await get(service, '/ready')).body, { local: { writable } })
  }
})
