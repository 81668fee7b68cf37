import t from 'tap'
import { atEvent, randomFrom, setKillStage } from '../support/faults/kills.ts'

t.test('killed once while files fall back and once while they are promoted, the service loses nothing', async t => {
  const { b2, start, down, upload, check, finish } = await setKillStage(t, randomFrom(1))
  const outage = down()
  const first = await start()
  await upload(first, 4)
  const uploading = upload(first, 4)
  await first.kill()
  await uploading

  const second = await start()
  await check(second)
  const moment = atEvent(b2, 'applied', 1, 10_000)
  outage.cancel()
  await moment
  await second.kill()
  await finish()
})
