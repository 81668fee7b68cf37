import { mkdir, rm, writeFile } from 'node:fs/promises'
import t from 'tap'
import { mountSmallDisk, noSmallDisk } from '../support/disk/small-disk.ts'
import { bytes } from '../support/service/service.ts'
import { isEmpty } from '../support/service/stored-files.ts'
import { samplesOfNames } from '../support/split/samples.ts'
import { begin, beginFailed, DOWN, isJoined, MIB, PART, promoteAll, setSplitStage, SIZE } from '../support/split/split.ts'
import type { Way } from '../support/split/split.ts'

for (const way of ['raw', 'form', 'chunked'] as const) {
  t.test(`a client that leaves after B2 has failed leaves nothing behind: ${way}`, async t => {
    const { b2, service } = await setSplitStage(t)
    const upload = await begin(service, b2, bytes(SIZE), { way })
    const down = b2.fault(DOWN)
    await upload.sendTo(2 * PART + MIB)
    await service.log.until(({ event }) => event === 'b2.failed')
    upload.request.on('error', () => {})
    upload.request.destroy()
    await service.log.until(({ event }) => event === 'upload.aborted')
    down.cancel()
    await isEmpty(t, b2, service)
    t.same(await samplesOfNames(service, 'uploads_in_flight', 'upload_memory_held_bytes', 'promotions_pending'), { uploads_in_flight: 0, upload_memory_held_bytes: 0, promotions_pending: 0 })
  })
}

t.test('a client that leaves after its last byte, while B2 is tried once more: its file is joined', async t => {
  const stage = await setSplitStage(t)
  const { b2, service } = stage
  const content = bytes(SIZE)
  const upload = await beginFailed({ b2, service }, content)
  b2.fault({ operation: 'ListParts', delayMs: 500, status: 503 })
  const tried = b2.waitFor('request', ({ operation }) => operation === 'ListParts')
  upload.finish().catch(() => {})
  const { key } = await tried
  upload.request.destroy()
  await service.log.until(({ event }) => event === 'upload.stored')
  await promoteAll(stage)
  await isJoined(t, stage, { key: key!, content })
})

t.test('the local directory is gone when B2 fails: both have failed, and nothing is left', async t => {
  const { b2, service } = await setSplitStage(t)
  const upload = await begin(service, b2, bytes(SIZE))
  await rm(service.dir, { recursive: true })
  await writeFile(service.dir, 'no directory any more')
  const down = b2.fault(DOWN)
  const { status, headers, body } = await upload.finish()
  t.match({ status, body }, { status: 503, body: { error_code: 'storage_unavailable', detail: /^B2: service_unavailable .+; local storage: io_error/ } })
  t.equal(headers.get('retry-after'), '10')
  down.cancel()
  await rm(service.dir)
  await mkdir(service.dir)
  await isEmpty(t, b2, service)
})

for (const [name, way, dirSize] of [['at once', 'raw', 4 * MIB], ['in the middle', 'chunked', 6 * MIB]] as [string, Way, number][]) {
  t.test(`the disk is full ${name}: both have failed, and nothing is left`, { skip: noSmallDisk }, async t => {
    const { dir } = await mountSmallDisk(t, { size: dirSize, inodes: 1_000 })
    const { b2, service } = await setSplitStage(t, { LOCAL_STORAGE_DIR: dir, ...(name === 'at once' ? { LOCAL_MIN_FREE_BYTES: String(MIB) } : {}) })
    const upload = await begin(service, b2, bytes(SIZE), { way })
    const down = b2.fault(DOWN)
    const { status, body } = await upload.finish()
    t.match({ status, body }, { status: 503, body: { error_code: 'storage_unavailable', detail: /^B2: service_unavailable .+; local storage: disk_full/ } })
    down.cancel()
    await isEmpty(t, b2, service)
    t.equal((await samplesOfNames(service, 'upload_memory_held_bytes'))['upload_memory_held_bytes'], 0)
  })
}
