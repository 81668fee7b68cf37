import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { atEvent, randomFrom, setKillStage } from '../support/faults/kills.ts'
import { rounds } from '../support/run/loops.ts'

const KILLS = rounds(6, 100)
const EVENTS = ['request', 'applied', 'response'] as const

t.test(`killed at ${KILLS} random moments of promotions, the service loses nothing and doubles nothing`, async t => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
  t.comment(`SEED=${seed}`)
  const random = randomFrom(seed)
  const { b2, start, down, upload, check, finish } = await setKillStage(t, random)

  for (let kill = 0; kill < KILLS; kill++) {
    const service = await start()
    const outage = down()
    await upload(service, 4)
    await check(service, 3)
    const moment = atEvent(b2, EVENTS[random(3)]!, 1 + random(15), 2_000)
    outage.cancel()
    await moment
    if (random(2) === 0) await wait(random(20))
    const last = b2.requests.at(-1)!
    await service.kill()
    t.comment(`${kill} ${last.operation} ${last.partNumber ?? ''} ${last.outcome}`)
  }
  await finish()
})
