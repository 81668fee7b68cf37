import t from 'tap'
import { sha256, startB2 } from '../service/service.ts'
import { contentOf, receiptOf } from '../service/stored-files.ts'
import { isJoined, PART, setSplitStage, SIZE } from './split.ts'

/** A service of these settings starts on the directory in which another left a split file. */
export function joinsAfterRestart (name: string, env: Record<string, string>): void {
  t.test(`a service that starts on the directory joins a split file: ${name}`, async t => {
    const b2 = await startB2(t)
    const first = await setSplitStage(t, { LOCAL_STORAGE_DIR: t.testdir() }, b2)
    const file = await first.split()
    await first.service.app.close()
    file.down.cancel()
    const { service, uploads } = await setSplitStage(t, { LOCAL_STORAGE_DIR: first.service.dir, ...env }, b2)
    if (!('B2_KEY_PREFIX' in env)) {
      t.match((await receiptOf(service, file.name)).body, { storage: 'split', split: { b2_bytes: PART, local_bytes: SIZE - PART } })
      t.equal(await contentOf(service, file.name), 503)
    }
    t.match(await uploads.promote(), { promoted: 1, bytes: SIZE - PART, pending: 0 })
    await isJoined(t, { b2, service }, file)
    if (!('B2_KEY_PREFIX' in env)) t.equal(await contentOf(service, file.name), sha256(file.content))
  })
}
