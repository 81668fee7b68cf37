import t from 'tap'
import { isEmpty, isGoneHere, isNotFound, nameOf, remove } from '../service/stored-files.ts'
import { fallBackFor, hold } from './held-promotions.ts'
import type { Hold } from './held-promotions.ts'
import { KIB, setPromotionStage } from './promotion.ts'

/** Deletes a file while its promotion is held up there. */
export function deleteDuring (held: Hold): void {
  t.test(`a file that is deleted during its promotion is gone from then on: ${held.name}`, async t => {
    const stage = await setPromotionStage(t)
    const { b2, service, uploads } = stage
    const name = await fallBackFor(held, stage)
    const other = await stage.fallBack(KIB)
    const { begun, release } = hold(b2, held)
    const promoting = uploads.promote()
    await begun
    const removed = remove(service, name)
    // Once the file is not here any more, the deletion waits for the promotion to end.
    await isGoneHere(service, name)
    release()
    t.equal((await removed).status, 204)
    const run = { isOver: false }
    const report = promoting.finally(() => { run.isOver = true })
    do await isNotFound(t, service, name); while (!run.isOver)
    t.match(await report, { failed: 0, set_aside: 0, pending: 0 })
    await isNotFound(t, service, name)
    t.match(await uploads.status(), { pending_promotions: 0 })
    t.match(service.log.of('promotion.done'), [{ key: other.key }], 'the other file is promoted in the same pass')
    t.equal((await remove(service, nameOf(other.key))).status, 204)
    await isEmpty(t, b2, service)
  })
}
