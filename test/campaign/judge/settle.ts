import { setTimeout as delay } from 'node:timers/promises'
import { hasSetAside, settleDoubts, strayThings } from './inspect.ts'
import { judgeLines } from './judge.ts'
import { assertIdle } from '../service/process-checks.ts'
import { readFile, removeFile } from '../clients/readers.ts'
import type { StandingReaders } from '../clients/standing-readers.ts'
import type { Services } from '../service/services.ts'
import type { Stage } from '../stage.ts'
import type { Uploads } from '../clients/uploads.ts'
import { Violation } from './violation.ts'

const LOOK_MS = 100

export interface Actors {
  readonly stage: Stage
  readonly services: Services
  readonly uploads: Uploads
  readonly readers: StandingReaders
}

/**
 * Lets all trouble end and the services do what they have put off; then what there is must be what was promised, to the
 * byte, and nothing else. @throws {Violation}
 * @param limitMs how long that may take
 */
export async function settle ({ stage, services, uploads, readers }: Actors, limitMs: number): Promise<void> {
  const { expectations, trouble } = stage
  await uploads.ended()
  await readers.goOn()
  await services.quiet()
  await trouble.lift()
  for (const name of services.names) {
    const service = services.running(name)
    if (service === undefined) continue
    await service.mendDisk()
    await assertIdle(service, limitMs)
    // What a killed process left goes at the next start.
    await services.stop(name)
  }
  for (const name of new Set([...services.names, 'A'] as const)) await services.start(name)
  const service = services.running('A')!
  // The rest must have gone for good.
  for (const expected of expectations.of('half-removed')) await removeFile(expected, service, stage)
  uploads.check()
  await services.check()

  if (stage.env['PROMOTE_INTERVAL_MS'] === '0' || await hasSetAside(stage.directory)) await services.promote(undefined, ['--retry-set-aside'])
  const end = Date.now() + limitMs
  for (;;) {
    const stray = await strayThings(stage)
    if (stray.length === 0) break
    if (Date.now() > end) throw new Violation('stray', stray.slice(0, 10).join('; '))
    await delay(LOOK_MS)
  }
  settleDoubts(stage)
  for (const expected of expectations.all()) judgeLines(expected)
  for (const expected of expectations.of('promised')) {
    await readFile(expected, { what: 'receipt', from: service, stage, isSettled: true })
    await readFile(expected, { what: 'content', from: service, stage, isSettled: true })
  }
  for (const expected of expectations.of('removed')) await readFile(expected, { what: 'content', from: service, stage })
  await assertServes(stage, services, uploads)
}

/** All is well: uploads of both kinds are stored, and can be removed. */
async function assertServes (stage: Stage, services: Services, uploads: Uploads): Promise<void> {
  const service = services.running('A')!
  for (const size of [1_000, 6_000_000]) {
    const id = `well-${stage.expectations.all().length}`
    uploads.begin({ id, to: 'A', method: 'PUT', size, announced: true, pace: { kind: 'burst' } }, service)
    await uploads.ended()
    uploads.check()
    const expected = stage.expectations.get(id)!
    if (expected.fate !== 'promised') throw new Violation('not-well', `${id} was not stored although all is well: ${expected.fate}`)
    await removeFile(expected, service, stage)
    await readFile(expected, { what: 'receipt', from: service, stage })
  }
}
