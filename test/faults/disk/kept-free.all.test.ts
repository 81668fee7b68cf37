import http from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { answerTo } from '../../support/service/answer.ts'
import { KIB, MIB, setPromotionStage } from '../../support/promotion/promotion.ts'
import { bytes, put } from '../../support/service/service.ts'
import { mountSmallDisk, noSmallDisk } from '../../support/disk/small-disk.ts'
import { get } from '../../support/service/stored-files.ts'

const DISK = 40 * MIB
const KEPT = 20 * MIB
const SIZE = 3 * MIB
const COUNT = 12

for (const isAnnounced of [true, false]) {
  t.test(`fallbacks at once leave free what is to be kept, ${isAnnounced ? 'and of announced sizes as many are stored as fit' : 'also of unknown sizes'}`, { skip: noSmallDisk }, async t => {
    const disk = await mountSmallDisk(t, { size: DISK, inodes: 200 })
    const { b2, service } = await setPromotionStage(t, { LOCAL_STORAGE_DIR: disk.dir, LOCAL_MIN_FREE_BYTES: String(KEPT), BREAKER_THRESHOLD: '1', BREAKER_RESET_MS: '600000' })
    b2.fault({ status: 503, times: Infinity })
    t.match(await put(service, bytes(KIB)), { status: 201, body: { storage: 'local' } }, 'the circuit is open')
    let leastFree = DISK
    const watch = setInterval(() => { disk.free().then(free => { leastFree = Math.min(leastFree, free) }, () => {}) }, 5)
    t.teardown(() => clearInterval(watch))

    const content = bytes(SIZE)
    let answered = 0
    const uploads = Array.from({ length: COUNT }, () => {
      const headers = isAnnounced ? { 'content-length': SIZE } : { 'transfer-encoding': 'chunked' }
      const request = http.request(`${service.url}/uploads/file.bin`, { method: 'PUT', agent: false, headers })
      request.write(content.subarray(0, SIZE / 2))
      return { request, answer: answerTo(request).finally(() => { answered++ }) }
    })
    const begun = async (): Promise<number> => (await service.localFiles()).filter(name => name.endsWith('.part')).length
    while (await begun() + answered < COUNT) await wait(5)
    for (const { request } of uploads) request.end(content.subarray(SIZE / 2))

    const answers = await Promise.all(uploads.map(({ answer }) => answer))
    const stored = answers.filter(({ status }) => status === 201)
    t.ok(await disk.free() >= KEPT, `${await disk.free()} bytes are free`)
    t.ok(leastFree >= KEPT, `at least ${leastFree} bytes were free all the time`)
    if (isAnnounced) t.equal(stored.length, 6)
    else t.ok(stored.length <= 6)
    for (const { status, body } of answers.filter(({ status }) => status !== 201)) t.match([status, body.error_code, body.detail], [503, 'storage_unavailable', /disk_full/])
    t.equal((await service.localFiles()).length, 2 * (1 + stored.length), 'nothing is left of the others')
    t.match((await get(service, '/ready')).body, { local: { free_bytes: await disk.free() } })
  })
}
