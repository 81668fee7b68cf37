import t from 'tap'
import { CALM } from '../support/promotion/promotion.ts'
import { promote } from '../support/promotion/promote-command.ts'
import { b2Env, settledFiles } from '../support/service/service.ts'
import { receiptOf } from '../support/service/stored-files.ts'
import { joinsAfterRestart } from '../support/split/restart.ts'
import { isJoined, MIB, OUTGROWN, PART, setSplitStage, SIZE } from '../support/split/split.ts'

joinsAfterRestart('larger parts', { B2_PART_BYTES: String(7 * MIB) })
joinsAfterRestart('another prefix', { B2_KEY_PREFIX: 'elsewhere/' })
joinsAfterRestart('files refused instead of split', { FALLBACK_BEYOND_WINDOW: 'refuse' })

t.test('the promote command shows the bytes that are still to go, and joins it beside the running service', async t => {
  const { b2, service, split } = await setSplitStage(t)
  const file = await split()
  const env = { ...b2Env(b2), ...CALM, ...OUTGROWN, LOCAL_STORAGE_DIR: service.dir }
  const dry = await promote(t, ['--dry-run'], env)
  t.match(dry, { code: 0, stdout: new RegExp(`${file.key} \\(${SIZE - PART} bytes\\)`) })
  file.down.cancel()
  const { code, stdout, stderr } = await promote(t, [], env)
  t.same([code, stderr], [0, ''])
  t.match(stdout, `1/1 promoted ${file.key} (${SIZE - PART} bytes)\n1 promoted (${SIZE - PART} bytes); none left in ${service.dir}.\n`)
  t.same(await settledFiles(service), [])
  await isJoined(t, { b2, service }, file)
  t.match((await receiptOf(service, file.name)).body, { storage: 'b2' })
})

for (const [name, denied] of [['list', 'ListParts'], ['read', 'HeadObject']] as const) {
  t.test(`a key that may not ${name}: the file is ${name === 'list' ? 'joined all the same' : 'not lost'}`, async t => {
    const stage = await setSplitStage(t)
    const { b2, service, uploads, split } = stage
    const file = await split()
    file.down.cancel()
    const may = b2.fault({ operation: denied, status: 403, times: Infinity })
    if (name === 'list') {
      t.match(await uploads.promote(), { promoted: 1, pending: 0 })
      t.ok(may.applied > 0)
    } else {
      t.match(await uploads.promote(), { promoted: 0, failed: 1, pending: 1 })
      // The first is the try before the client was answered.
      t.match(service.log.of('promotion.failed').slice(1), [{ key: file.key, error_code: 'access_denied', hints: [/readFiles/] }])
      t.match((await receiptOf(service, file.name)).body, { storage: 'split' })
      may.cancel()
      t.match(await uploads.promote(), { promoted: 1, pending: 0 })
    }
    await isJoined(t, stage, file)
  })
}
