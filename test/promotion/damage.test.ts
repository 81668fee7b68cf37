import { readFile, truncate, writeFile } from 'node:fs/promises'
import t from 'tap'
import { flipByte } from '../support/disk/flip-byte.ts'
import { isPromoted, KIB, MIB, setPromotionStage } from '../support/promotion/promotion.ts'
import { isSetAside, pathOf } from '../support/promotion/damage.ts'

isSetAside('a flipped bit in a small file', KIB, async path => await flipByte(path, 100))

isSetAside('a flipped bit in the last byte', 6 * MIB, async path => await flipByte(path, 6 * MIB - 1))

isSetAside('bytes too many', KIB, async path => await truncate(path, 2 * KIB))

t.test('a damaged file that B2 already has whole is no loss', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t)
  const stored = await fallBack(12 * MIB)
  b2.fault({ operation: 'HeadObject', after: 1, status: 403 })
  t.match(await uploads.promote(), { failed: 1 })
  await flipByte(pathOf(service, stored), 100)
  t.match(await uploads.promote(), { promoted: 1, pending: 0 })
  await isPromoted(t, b2, service, [stored])
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
