import { once } from 'node:events'
import http from 'node:http'
import t from 'tap'
import { startServiceProcess } from '../support/service/memory-load.ts'
import { answerTo } from '../support/service/answer.ts'
import { bytes, sha256, startB2 } from '../support/service/service.ts'
import { inB2 } from '../support/service/service.ts'
import { MIB, PART } from '../support/split/split.ts'
import { samplesOfNames } from '../support/split/samples.ts'

const COUNT = 64
const SIZE = 3 * PART + MIB
const BUDGET = 64 * MIB

t.test(`B2 goes down in the middle of ${COUNT} uploads: all are stored or refused clearly, within the memory budget, and all are in B2 in the end`, async t => {
  const b2 = await startB2(t)
  const service = await startServiceProcess(t, b2, {
    B2_PART_BYTES: String(PART),
    REPLAY_WINDOW_BYTES: String(PART),
    MEMORY_BUDGET_BYTES: String(BUDGET),
    B2_MAX_ATTEMPTS: '1',
    BREAKER_RESET_MS: '200',
    PROMOTE_INTERVAL_MS: '200',
  })
  const content = bytes(SIZE)
  const hash = sha256(content)
  // Two thirds of the whole parts of all files are there by then.
  const down = b2.fault({ operation: ['CreateMultipartUpload', 'UploadPart', 'CompleteMultipartUpload'], after: COUNT * 2, status: 503, times: Infinity })
  const answers = await Promise.all(Array.from({ length: COUNT }, async (_, index) => {
    const request = http.request(`${service.url}/uploads/${index}.bin`, { method: 'PUT', agent: false, headers: index % 4 === 0 ? {} : { 'content-length': SIZE } })
    const answer = answerTo(request)
    for (let from = 0; from < SIZE; from += MIB) {
      if (request.destroyed) break
      if (!request.write(content.subarray(from, from + MIB))) await Promise.race([once(request, 'drain'), once(request, 'close')])
    }
    request.end()
    return await answer
  }))
  const count = (status: number, storage?: string): number => answers.filter(answer => answer.status === status && answer.body.storage === storage).length
  t.comment(`b2 ${count(201, 'b2')}, local ${count(201, 'local')}, split ${count(202, 'split')}`)
  t.same(answers.filter(({ status, body }) => status !== 201 && status !== 202 && !(status === 503 && body.error_code === 'overloaded')).map(({ body }) => body), [], 'no other answer')
  t.ok(count(202, 'split') > 0)
  const report = await service.report()
  t.ok(report.peakHeld <= BUDGET + PART, `${Math.round(report.peakHeld / MIB)} MiB held at most`)

  down.cancel()
  while ((await samplesOfNames(service, 'promotions_pending'))['promotions_pending'] !== 0) await new Promise(resolve => setTimeout(resolve, 100))
  const keys = answers.filter(({ status }) => status < 300).map(({ body }) => body.track.key).sort()
  t.same(inB2(b2).files.map(({ key }) => key).sort(), keys, 'each is there once')
  t.ok(inB2(b2).files.every(file => file.sha256 === hash), 'whole')
  t.same(b2.unfinishedUploads(), [])
  // Not before: a promotion that asks whether B2 is back holds a part.
  while ((await service.report()).heldBytes !== 0) await new Promise(resolve => setTimeout(resolve, 100))
})
