import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { filesIn, isPromoted, KIB, setPromotionStage, untilB2 } from './promotion.ts'
import type { Stored } from './promotion.ts'
import { sha256 } from '../service/service.ts'
import type { TestService } from '../service/service.ts'

export const pathOf = (service: TestService, { key }: Stored): string => join(service.dir, key)

export function isSetAside (name: string, size: number, damage: (path: string) => Promise<void>): void {
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
