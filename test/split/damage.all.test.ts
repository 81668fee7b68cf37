import { readFile, truncate, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { flipByte } from '../support/disk/flip-byte.ts'
import { inB2, sha256 } from '../support/service/service.ts'
import { contentOf, isEmpty, receiptOf, remove } from '../support/service/stored-files.ts'
import { MIB, PART, setSplitStage, SIZE } from '../support/split/split.ts'
import { samplesOfNames } from '../support/split/samples.ts'

/** What is in the file of a split one's rest: parts 2 to 4. */
const REST = SIZE - PART

for (const [name, damage] of [
  ['a flipped bit in its first part', async (path: string) => await flipByte(path, 100)],
  ['a flipped bit in its last byte', async (path: string) => await flipByte(path, REST - 1)],
  ['a missing byte', async (path: string) => await truncate(path, REST - 1)],
  ['a missing part', async (path: string) => await truncate(path, REST - MIB)],
  ['no bytes', async (path: string) => await truncate(path, 0)],
] as const) {
  t.test(`${name} of what is local: no object comes of it, and the file is set aside`, async t => {
    const { b2, service, uploads, split } = await setSplitStage(t)
    const file = await split()
    file.down.cancel()
    const rest = (await service.localFiles()).find(path => path.includes(file.name) && path.endsWith('.split-rest'))!
    const path = join(service.dir, rest)
    await damage(path)
    const damaged = sha256(await readFile(path))
    t.match(await uploads.promote(), { promoted: 0, failed: 0, set_aside: 1, pending: 1 })
    // The first is the try before the client was answered.
    t.match(service.log.of('promotion.failed').slice(1), [{ level: 50, key: file.key, set_aside: true, error_code: 'checksum_mismatch', detail: /^Part \d of the file is damaged in local storage$/ }])
    t.same(inB2(b2).files, [])
    t.equal(b2.unfinishedUploads().length, 1, 'what B2 has stays')
    t.equal(sha256(await readFile(path)), damaged, 'so does what is local')
    t.equal((await receiptOf(service, file.name)).body.storage, 'split')
    t.equal(await contentOf(service, file.name), 503)
    t.same(await samplesOfNames(service, 'split_files_broken_total'), { split_files_broken_total: 0 })
    t.equal((await remove(service, file.name)).status, 204)
    await isEmpty(t, b2, service)
  })
}

t.test('a receipt that can not be read: the file stays, with what B2 has', async t => {
  const { b2, service, uploads, split } = await setSplitStage(t)
  const file = await split()
  file.down.cancel()
  const receipt = (await service.localFiles()).find(path => path.includes(file.name) && !path.endsWith('.split-rest'))!
  await truncate(join(service.dir, receipt), 20)
  t.match(await uploads.promote(), { promoted: 0, pending: 1 })
  t.same(inB2(b2).files, [])
  t.equal(b2.unfinishedUploads().length, 1)
  t.equal((await receiptOf(service, file.name)).status, 503)
})

t.test('the rest is gone: nothing is promoted, and B2 keeps what it has', async t => {
  const { b2, service, uploads, split } = await setSplitStage(t)
  const file = await split()
  file.down.cancel()
  const rest = (await service.localFiles()).find(path => path.includes(file.name) && path.endsWith('.split-rest'))!
  await unlink(join(service.dir, rest))
  t.match(await uploads.promote(), { promoted: 0 })
  t.same(inB2(b2).files, [])
  t.equal(b2.unfinishedUploads().length, 1)
})
