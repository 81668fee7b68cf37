import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { OVERHEAD_BYTES, sharedFiles, startServiceProcess, startSlowClient, upload } from '../support/service/memory-load.ts'
import type { ServiceProcess } from '../support/service/memory-load.ts'
import type { ProcessReport } from '../support/service/service-process.ts'
import { inB2, startB2 } from '../support/service/service.ts'

const MIB = 1_048_576
const MB = 1_000_000
const BUDGET = 32 * MIB
const SLOW_CLIENTS = 60

async function until (service: ServiceProcess, isSo: (report: ProcessReport) => boolean): Promise<void> {
  while (!isSo(await service.report())) await sleep(50) // another process has no event to wait for
}

t.test('many slow clients in a small budget don\'t keep fast ones from their end', async t => {
  const b2 = await startB2(t)
  b2.throttle({ bytesPerSecond: 10 * MB })
  const service = await startServiceProcess(t, b2, { MEMORY_BUDGET_BYTES: String(BUDGET), REPLAY_WINDOW_BYTES: String(16 * MIB) })

  // Some look fast at first, so that a good deal is set aside for them, and taken.
  const slow = Array.from({ length: SLOW_CLIENTS }, (_none, index) =>
    startSlowClient(service, { size: 20 * MB, atOnce: index < 6 ? 200_000 : 1_000, bytesPerSecond: 5_000 }))
  await until(service, ({ inFlight, heldBytes }) => inFlight === SLOW_CLIENTS && heldBytes >= 8 * MIB)

  const files = sharedFiles(10, 20 * MB)
  const answers = await Promise.all(files.map(file => upload(service, file)))
  t.same(answers.map(({ status, body }) => [status, body.storage]), files.map(() => [201, 'b2']))
  const stored = new Map(b2.objects().map(({ key, sha256 }) => [key, sha256]))
  t.ok(answers.every(({ body }, index) => stored.get(body.location) === files[index]!.sha256))

  for (const client of slow) client.leave()
  const ended = (await Promise.all(slow.map(({ answer }) => answer))).filter(answer => answer !== undefined)
  t.comment(`${ended.length} slow clients were ended`)
  t.ok(ended.length > 0, 'slow clients were ended')
  t.ok(ended.every(({ status, body }) => status === 503 && body.error_code === 'overloaded'))

  await until(service, ({ inFlight }) => inFlight === 0)
  const report = await service.report()
  t.comment(JSON.stringify(report))
  t.equal(report.heldBytes, 0, 'all is given back')
  t.ok(report.peakHeld <= BUDGET)
  t.ok(report.peakArrayBuffers <= BUDGET + OVERHEAD_BYTES)
  t.equal(inB2(b2).files.length, files.length, 'nothing of the slow ones is stored')
})
