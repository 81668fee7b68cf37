import t from 'tap'
import { setPromotionStage } from './promotion.ts'
import { bytes, post } from '../service/service.ts'
import { isEmpty, isNotFound, nameOf, remove } from '../service/stored-files.ts'

export const LONG = Object.fromEntries(['a', 'b', 'c'].map(name => [name, name.repeat(1_000)]))
export const isFile = (key: string): boolean => !key.endsWith('.receipt.json')
export const isReceipt = (key: string): boolean => !isFile(key)

export function lateWritesOf (size: number): void {
  for (const action of ['lose-answer', 'lose-answer-hang'] as const) {
    for (const isLookedFor of [true, false]) {
      t.test(`a file of ${size} bytes that fell back after ${action} is gone from both stores, ${isLookedFor ? 'looked for too early' : 'never looked for'}`, async t => {
        const { b2, service, uploads } = await setPromotionStage(t, { B2_STALL_TIMEOUT_MS: '400' })
        b2.fault({ operation: ['PutObject', 'CompleteMultipartUpload'], key: isFile, action, times: Infinity })
        b2.fault({ operation: 'HeadObject', status: isLookedFor ? 404 : 403, times: Infinity })
        const { body } = await post(service, bytes(size), 'song.mp3', { before: LONG })
        t.equal(body.storage, 'local')
        t.ok(b2.read(body.track.key), 'B2 has it')
        b2.clearFaults()
        t.equal((await remove(service, nameOf(body.track.key))).status, 204)
        await isNotFound(t, service, nameOf(body.track.key))
        t.match(await uploads.promote(), { promoted: 0, failed: 0, pending: 0 })
        await isEmpty(t, b2, service)
      })
    }
  }

  t.test(`a receipt that is still on its way when a file of ${size} bytes falls back does not outlast it`, async t => {
    const { b2, service } = await setPromotionStage(t)
    b2.fault({ operation: ['PutObject', 'CompleteMultipartUpload'], key: isFile, status: 503 })
    b2.fault({ operation: 'PutObject', key: isReceipt, bytesPerSecond: 6_000 })
    const ended = b2.waitFor('response', ({ key = '' }) => isReceipt(key))
    const { body } = await post(service, bytes(size), 'song.mp3', { before: LONG })
    t.equal(body.storage, 'local')
    t.equal((await remove(service, nameOf(body.track.key))).status, 204)
    await ended
    await isEmpty(t, b2, service)
  })
}
