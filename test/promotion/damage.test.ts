import { readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { flipByte } from '../support/disk/flip-byte.ts'
import { filesIn, isPromoted, KIB, MIB, PART, setPromotionStage, untilB2 } from '../support/promotion/promotion.ts'
import type { Stored } from '../support/promotion/promotion.ts'
import { sha256 } from '../support/service/service.ts'
import type { TestService } from '../support/service/service.ts'

const pathOf = (service: TestService, { key }: Stored): string => join(service.dir, key)

for (const [name, size, damage] of [
  ['a flipped bit in a small file', KIB, async (path: string) => await flipByte(path, 100)],
  ['a flipped bit in the first part', 6 * MIB, async (path: string) => await flipByte(path, 100)],
  ['a flipped bit in the last byte', 6 * MIB, async (path: string) => await flipByte(path, 6 * MIB - 1)],
  ['a missing byte', 6 * MIB, async (path: string) => await truncate(path, 6 * MIB - 1)],
  ['a missing part', 6 * MIB, async (path: string) => await truncate(path, PART)],
  ['bytes too many', KIB, async (path: string) => await truncate(path, 2 * KIB)],
  ['no bytes', KIB, async (path: string) => await truncate(path, 0)],
] as const) {
  t.test(`${name}: the file is neither promoted nor deleted, but set aside and reported`, async t => {
    const { b2, service, uploads, fallBack } = await setPromotionStage(t)
    const bad = await fallBack(size)
    const good = await fallBack(KIB)
    await damage(pathOf(service, bad))
    const damaged = sha256(await readFile(pathOf(service, bad)))

    const told: unknown[] = []
    const report = await uploads.promote({ onProgress: ({ key, outcome, error_code: code }) => { if (key === bad.key && outcome !== undefined) told.push([outcome, code]) } })
    t.same(report, { promoted: 1, failed: 0, set_aside: 1, skipped: 0, elsewhere: 0, pending: 1, bytes: KIB })
    t.same(told, [['set_aside', 'checksum_mismatch']])
    t.match(service.log.of('promotion.failed'), [{ level: 50, key: bad.key, set_aside: true, error_code: 'checksum_mismatch', duration_ms: Number, detail: /^The file('s sha256 is| has) .+ its receipt says / }])
    t.match(await uploads.status(), { pending_promotions: 1 })
    t.same(filesIn(b2).map(({ key }) => key), [good.key], 'nothing of it is in B2')
    await untilB2(b2, () => b2.unfinishedUploads().length === 0)

    const requests = b2.requests.length
    t.match(await uploads.promote(), { promoted: 0, set_aside: 1, pending: 1 })
    t.equal(b2.requests.length, requests, 'it is not tried again')
    t.equal(service.log.of('promotion.failed').length, 1, 'nor reported again')
    t.equal(sha256(await readFile(pathOf(service, bad))), damaged, 'and is what it was')
    t.match(await uploads.promote({ retrySetAside: true }), { promoted: 0, set_aside: 1, pending: 1 }, 'unless somebody asks for it')

    await writeFile(pathOf(service, bad), bad.content)
    t.match(await uploads.promote(), { promoted: 0 })
    t.match(await uploads.promote({ retrySetAside: true }), { promoted: 1, set_aside: 0, pending: 0 })
    await untilB2(b2, () => b2.unfinishedUploads().length === 0)
    await isPromoted(t, b2, service, [bad, good])
  })
}

t.test('a damaged file that B2 already has whole is no loss', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t)
  const stored = await fallBack(12 * MIB)
  b2.fault({ operation: 'HeadObject', after: 1, status: 403 })
  t.match(await uploads.promote(), { failed: 1 })
  await flipByte(pathOf(service, stored), 100)
  t.match(await uploads.promote(), { promoted: 1, pending: 0 })
  await isPromoted(t, b2, service, [stored])
})

t.test('a file that shrinks or grows while it is read is not promoted', async t => {
  for (const size of [11 * MIB, 13 * MIB]) {
    const { b2, service, uploads, fallBack } = await setPromotionStage(t)
    const stored = await fallBack(12 * MIB)
    b2.waitFor('request', ({ partNumber }) => partNumber === 2).then(() => truncate(pathOf(service, stored), size), () => {})
    t.match(await uploads.promote(), { set_aside: 1, promoted: 0 })
    t.equal(b2.read(stored.key), undefined)
  }
})

t.test('a receipt that cannot be read is set aside with its file', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t)
  const stored = await fallBack(KIB)
  const receipt = `${pathOf(service, stored)}.receipt.json`
  const whole = await readFile(receipt)
  await writeFile(receipt, '{"storage":')
  await uploads.promote()
  t.match(await uploads.promote(), { promoted: 0, set_aside: 1, pending: 1 })
  t.same(b2.objects(), [])
  await writeFile(receipt, whole)
  t.match(await uploads.promote(), { promoted: 1 })
  await isPromoted(t, b2, service, [stored])
})
