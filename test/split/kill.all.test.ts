import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { atEvent, randomFrom, setKillStage } from '../support/faults/kills.ts'
import { rounds } from '../support/run/loops.ts'
import { bytes } from '../support/service/service.ts'
import { begin, DOWN, MIB, OUTGROWN, PART } from '../support/split/split.ts'

const KILLS = rounds(6, 30)
const EVENTS = ['request', 'applied', 'response'] as const

t.test(`killed at ${KILLS} random moments from the failure to the end of the join, the service loses no split file`, async t => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
  t.comment(`SEED=${seed}`)
  const random = randomFrom(seed)
  const { b2, start, acknowledge, finish } = await setKillStage(t, random, OUTGROWN)
  let split = 0

  for (let kill = 0; kill < KILLS; kill++) {
    const service = await start()
    const contents = [bytes(2 * PART + MIB), bytes(3 * PART + MIB)]
    const uploads = []
    // One after the other: each waits for its own part.
    for (const content of contents) uploads.push(await begin(service, b2, content))
    const down = b2.fault(DOWN)
    const answers = uploads.map(async (upload, index) => {
      const answer = await upload.finish().catch(() => undefined)
      if (answer?.status === 202) split++
      acknowledge(answer, contents[index]!)
    })
    // Sometimes before the answers, else during the joins.
    const isEarly = random(4) === 0
    if (!isEarly) await Promise.all(answers)
    const moment = atEvent(b2, EVENTS[random(3)]!, 1 + random(isEarly ? 6 : 20), 2_000)
    down.cancel()
    await moment
    if (random(2) === 0) await wait(random(20))
    const last = b2.requests.at(-1)!
    await service.kill()
    await Promise.all(answers)
    t.comment(`${kill} ${last.operation} ${last.partNumber ?? ''} ${last.outcome}`)
  }
  t.ok(split > 0)
  await finish()
})
