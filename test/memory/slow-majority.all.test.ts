import http from 'node:http'
import t from 'tap'
import { answerTo } from '../support/service/answer.ts'
import { sharedFiles, startServiceProcess, startSlowClient, upload } from '../support/service/memory-load.ts'
import { startB2 } from '../support/service/service.ts'

const KIB = 1_024
const MIB = 1_048_576

/** A form without a length, as a stream is sent by `fetch`. */
async function postChunked (url: string, size: number) {
  const request = http.request(`${url}/uploads`, { method: 'POST', agent: false, headers: { 'content-type': 'multipart/form-data; boundary=b' } })
  request.write('--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n')
  request.write(Buffer.alloc(size, 1))
  request.end('\r\n--b--\r\n')
  return await answerTo(request)
}

for (const [budget, window] of [[256, 32], [64, 16]] as const) {
  t.test(`clients just above 64 KiB/s don't stop others in a budget of ${budget} MiB`, async t => {
    const b2 = await startB2(t)
    const service = await startServiceProcess(t, b2, { MEMORY_BUDGET_BYTES: String(budget * MIB), REPLAY_WINDOW_BYTES: String(window * MIB) })
    const slow = [...Array.from({ length: 5 }, () => 1_024 * MIB), 8 * MIB, 8 * MIB].map((size, index) =>
      startSlowClient(service, { size, atOnce: 72_000 * (index % 2 + 1), bytesPerSecond: 72_000 }))
    for (let { inFlight, heldBytes } = await service.report(); inFlight < 7 || heldBytes < 7 * 128 * KIB;) ({ inFlight, heldBytes } = await service.report())

    const begun = performance.now()
    const sizes = [KIB, 100 * KIB, MIB, 5 * MIB, 10 * MIB]
    const answers = await Promise.all(sizes.flatMap(size => {
      const [file, other] = sharedFiles(2, size)
      return [upload(service, file!), upload(service, other!, false), postChunked(service.url, size)]
    }))
    t.same(answers.map(({ status, body }) => [status, body.storage]), answers.map(() => [201, 'b2']))
    t.ok(performance.now() - begun < 10_000, `all were answered after ${Math.round(performance.now() - begun)} ms`)

    for (const client of slow) client.leave()
    await Promise.all(slow.map(({ answer }) => answer))
    for (let { inFlight } = await service.report(); inFlight > 0;) ({ inFlight } = await service.report())
    t.equal((await service.report()).heldBytes, 0, 'all is given back')
  })
}
