import { truncate } from 'node:fs/promises'
import t from 'tap'
import { flipByte } from '../support/disk/flip-byte.ts'
import { KIB, MIB, PART, setPromotionStage } from '../support/promotion/promotion.ts'
import { isSetAside, pathOf } from '../support/promotion/damage.ts'

isSetAside('a flipped bit in the first part', 6 * MIB, async path => await flipByte(path, 100))

isSetAside('a missing byte', 6 * MIB, async path => await truncate(path, 6 * MIB - 1))

isSetAside('a missing part', 6 * MIB, async path => await truncate(path, PART))

isSetAside('no bytes', KIB, async path => await truncate(path, 0))

t.test('a file that shrinks or grows while it is read is not promoted', async t => {
  for (const size of [11 * MIB, 13 * MIB]) {
    const { b2, service, uploads, fallBack } = await setPromotionStage(t)
    const stored = await fallBack(12 * MIB)
    b2.waitFor('request', ({ partNumber }) => partNumber === 2).then(() => truncate(pathOf(service, stored), size), () => {})
    t.match(await uploads.promote(), { set_aside: 1, promoted: 0 })
    t.equal(b2.read(stored.key), undefined)
  }
})
