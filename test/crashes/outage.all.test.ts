import t from 'tap'
import type { B2Emulator, Fault } from '../../emulator/index.ts'
import { PART, untilB2 } from '../support/promotion/promotion.ts'
import { rounds } from '../support/run/loops.ts'
import { b2Env, inB2, settledFiles, startB2, startService } from '../support/service/service.ts'
import { SteadyLoad } from '../support/service/steady-load.ts'
import { contentOf, nameOf, receiptOf } from '../support/service/stored-files.ts'

/** Uploads, and reads, before, during and after each outage. */
const EACH = rounds(5, 8)

type End = () => Promise<unknown>

const faulty = (fault: Fault) => async (b2: B2Emulator): Promise<End> => {
  const { cancel } = b2.fault({ ...fault, times: Infinity })
  return async () => cancel()
}

const OUTAGES: [name: string, begin: (b2: B2Emulator) => Promise<End>][] = [
  ['503s', faulty({ status: 503 })],
  ['refused connections', async b2 => {
    await b2.refuseConnections()
    return () => b2.acceptConnections()
  }],
  ['resets', faulty({ action: 'reset', at: 'during-body' })],
  ['stalls', faulty({ action: 'hang' })],
  ['a wrong key', faulty({ status: 403, code: 'InvalidAccessKeyId' })],
]

t.test('B2 goes down and comes back while uploads go on: every file can be read all the time, and in the end all are in B2, once', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, {
    ...b2Env(b2),
    B2_STALL_TIMEOUT_MS: '700',
    B2_MAX_ATTEMPTS: '2',
    B2_PART_BYTES: String(PART),
    BREAKER_THRESHOLD: '3',
    BREAKER_RESET_MS: '100',
    PROMOTE_INTERVAL_MS: '100',
  })
  const load = new SteadyLoad(service, { uploaders: 6, readers: 4 })
  await load.until({ uploads: [EACH, 'b2'], reads: { b2: EACH } })
  for (const [name, begin] of OUTAGES) {
    t.comment(name)
    load.setDown(true)
    const end = await begin(b2)
    await load.until({ uploads: [EACH, 'local'], reads: { local: 4, out: 2 } })
    await end()
    load.setDown(false)
    await load.until({ uploads: [EACH, 'b2'], reads: { b2: EACH } })
  }
  await load.stop()
  const done = (): string[] => service.log.of('promotion.done').map(({ key }) => String(key))
  for (let count = done().length; (await settledFiles(service)).length > 0; count = done().length) {
    await service.log.until(() => done().length > count)
  }

  t.same(load.wrong, [])
  const fellBack = load.files.filter(({ storage }) => storage === 'local')
  t.comment(`${load.files.length} files, ${fellBack.length} of them fell back; read ${JSON.stringify(load.seen)}`)
  t.equal(new Set(done()).size, done().length, 'each was promoted once')
  t.same(fellBack.filter(({ key }) => !done().includes(key)), [])
  t.same(service.log.of('promotion.failed').filter(({ level }) => level > 40), [], 'and none set aside')
  t.match(await service.app.uploads.status(), { b2: { state: 'closed', last_error: null }, pending_promotions: 0 })

  await untilB2(b2, () => b2.unfinishedUploads().length === 0 && inB2(b2).files.length <= load.files.length)
  const { files, receipts } = inB2(b2)
  const keys = load.files.map(({ key }) => key).sort()
  t.same(files.map(({ key }) => key), keys, 'each file is in B2 once, and nothing else is')
  const hashes = new Map(files.map(({ key, sha256 }) => [key, sha256]))
  t.same(load.files.filter(({ key, sha256 }) => hashes.get(key) !== sha256), [], 'with its bytes')
  for (const { key, sha256 } of load.files) {
    const name = nameOf(key)
    const { body } = await receiptOf(service, name)
    if (body.storage !== 'b2' || await contentOf(service, name) !== sha256) t.fail(`${key} is ${JSON.stringify(body)}`)
  }
  t.same(receipts.map(({ key }) => key), [...new Set(receipts.map(({ key }) => key))], 'nor is a receipt there twice')
  t.same(receipts.filter(({ key }) => !keys.includes(key.slice(0, -'.receipt.json'.length))), [])
  t.equal(service.app.uploads.heldBytes, 0)
})
