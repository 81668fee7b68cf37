import { rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Fault } from '../../emulator/index.ts'
import { drawNoPauses } from '../support/b2/no-pauses.ts'
import { contentPath, download, request, rest } from '../support/clients/download.ts'
import { MIB, setPromotionStage } from '../support/promotion/promotion.ts'
import { sha256 } from '../support/service/service.ts'
import { FILE, RANGE, isUnavailable, store } from '../support/clients/unavailable.ts'

t.test('what fails before the first byte is answered as an error, without a header of the file', async t => {
  drawNoPauses(t)
  const { b2, service } = await setPromotionStage(t)
  const { path } = await store(t, service, 'b2')
  const faults: Omit<Fault, 'operation'>[] = [{ status: 503 }, { action: 'reset', at: 'after-body' }, { action: 'truncate-answer', atByte: 0 }]
  for (const fault of faults) {
    b2.clearFaults()
    b2.fault({ operation: 'GetObject', key: FILE, times: Infinity, ...fault })
    for (const options of [{}, RANGE]) isUnavailable(t, await download(service, path, options), options)
  }
})

t.test('a local file that is lost or shrinks while it is read is never short and well-ended', async t => {
  const { service, fallBack } = await setPromotionStage(t)
  const { key, content } = await fallBack(32 * MIB)
  const lost = await fallBack(32 * MIB)
  const [shrunken, gone] = [await request(service, contentPath(key)), await request(service, contentPath(lost.key))]
  await truncate(join(service.dir, key), 28 * MIB)
  await rm(join(service.dir, lost.key))
  const [cut, whole] = [await rest(shrunken), await rest(gone)]
  t.match(cut, { status: 200, isWhole: false })
  t.ok(cut.body.equals(content.subarray(0, cut.body.byteLength)), 'what came is of the file')
  t.match(service.log.of('file.read'), [{ level: 40, error_code: 'storage_unavailable', detail: /damaged/ }])
  t.equal(whole.isWhole, true, 'an open file stays whole')
  t.equal(sha256(whole.body), sha256(lost.content))
})
