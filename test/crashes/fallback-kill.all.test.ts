import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { randomFrom, setKillStage } from '../support/faults/kills.ts'
import { rounds } from '../support/run/loops.ts'

const KILLS = rounds(6, 100)

t.test(`killed at ${KILLS} random moments of fallback writes, the service loses nothing and serves no half file`, async t => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
  t.comment(`SEED=${seed}`)
  const random = randomFrom(seed)
  const { start, down, upload, check, finish } = await setKillStage(t, random)

  const outage = down()
  for (let kill = 0; kill < KILLS; kill++) {
    const service = await start()
    await check(service, 3)
    await upload(service, 1) // the first takes long
    const uploading = upload(service, 4)
    await wait(random(150))
    await service.kill()
    await uploading
  }
  outage.cancel()
  await finish()
})
