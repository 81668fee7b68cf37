import t from 'tap'
import { LocalStoreError } from '../../../services/local/errors.ts'
import { PromotedFile } from '../../../services/promotion/file.ts'

const KEY = 'tracks/01890a5d-ac96-774b-bcce-b302099a8057.bin'

/** A promotion that has its claim when another process has promoted the file already; what it removes from B2. */
async function runTooLate (finds: () => Promise<undefined>, stopsMeanwhile: boolean): Promise<string[]> {
  const removed: string[] = []
  const local = {
    find: finds,
    async claim () {
      if (stopsMeanwhile) file.stop()
      return { release: async () => {} }
    },
  }
  const b2 = { isForgotten: () => false, removeDoubles: (key: string) => removed.push(key) }
  const file = new PromotedFile({ local, b2 } as never, { key: KEY, takeUp: false, onPromoted: undefined, onBytes: () => {}, enter: async () => () => {} } as never)
  const { kind } = await file.run()
  t.equal(kind, 'gone')
  return removed
}

t.test('a promotion that comes too late removes nothing of what another process has promoted', async t => {
  t.same(await runTooLate(async () => undefined, false), [])
})

t.test('nor does one that was stopped while it waited for the other\'s claim', async t => {
  t.same(await runTooLate(async () => undefined, true), [])
})

t.test('nor one that the disk failed when it looked for the file', async t => {
  let looks = 0
  t.same(await runTooLate(async () => {
    if (looks++ === 0) throw new LocalStoreError('The disk failed', { error_code: 'io_error' })
    return undefined
  }, false), [])
})
