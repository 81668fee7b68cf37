import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { runOnHangingDisk } from '../../support/disk/hanging-disk.ts'
import { fallBack, isStoredInB2, namedB2, readiness } from '../../support/disk/hung-service.ts'
import { KIB, MIB } from '../../support/promotion/promotion.ts'
import { isError } from '../../support/clients/raw-http.ts'
import { bytes, put, startB2 } from '../../support/service/service.ts'
import { contentOf, get, remove } from '../../support/service/stored-files.ts'

t.test('a disk that hangs takes local storage away, until it answers again', async t => {
  const b2 = await startB2(t)
  const server = runOnHangingDisk(t, namedB2(b2))
  const service = { url: await server.url() }
  const files = await fallBack(t, b2, service, [KIB, 6 * MIB, KIB, KIB, KIB, KIB])
  await server.hang()
  const reads = files.map(async ({ name }) => await get(service, `/uploads/${name}/content`))
  t.equal(await readiness(t, service), 'degraded')
  await isStoredInB2(t, b2, service, 12 * MIB)
  t.equal(await readiness(t, service), 'degraded')
  b2.fault({ status: 503, times: Infinity })
  const failed = await put(service, bytes(KIB))
  isError(t, failed, 503, 'storage_unavailable')
  t.match(failed.body.detail, /B2: service_unavailable .*; local storage: io_error \(The file could not be stored locally: the disk or file system hangs, /)
  for (const read of reads) isError(t, await read, 503, 'storage_unavailable')
  isError(t, await remove(service, files[0]!.name), 503, 'storage_unavailable')
  t.equal(await readiness(t, service), 'degraded')
  b2.clearFaults()
  await isStoredInB2(t, b2, service, KIB)

  await server.answer()
  while (await readiness(t, service) !== 'ok') await wait(10)
  for (const { name, hash } of files.slice(1)) {
    // Reads that hung return one by one: until then there may be no place for another one.
    let found: string | number
    while ((found = await contentOf(service, name)) === 503) await wait(10)
    t.equal(found, hash)
  }
  const [again] = await fallBack(t, b2, service, [12 * MIB])
  t.equal(await contentOf(service, again!.name), again!.hash)
  t.same(server.lines.filter(({ msg }) => /nobody caught/.test(msg)), [])
})
