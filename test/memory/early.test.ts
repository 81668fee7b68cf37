import http from 'node:http'
import t from 'tap'
import { answerTo } from '../support/service/answer.ts'
import { b2Env, bytes, put, sha256, startB2, startService } from '../support/service/service.ts'

const MIB = 1_048_576
const PART = 5 * MIB

t.test('an upload lets go of the parts that B2 has when another one waits for memory, and can still not be lost', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, {
    ...b2Env(b2),
    B2_PART_BYTES: String(PART),
    REPLAY_WINDOW_BYTES: String(16 * MIB),
    MEMORY_BUDGET_BYTES: String(32 * MIB),
    B2_MAX_ATTEMPTS: '1',
    B2_STALL_TIMEOUT_MS: '1000',
    PROMOTE_INTERVAL_MS: '0',
  })

  const content = bytes(15 * MIB)
  const request = http.request(`${service.url}/uploads/first.wav`, { method: 'PUT', agent: false, headers: { 'content-length': content.byteLength } })
  const answer = answerTo(request)
  const acknowledged = new Promise<void>(resolve => {
    let parts = 0
    b2.on('applied', ({ operation }) => { if (operation === 'UploadPart' && ++parts === 2) resolve() })
  })
  request.write(content.subarray(0, 14 * MIB))
  await acknowledged

  // With its two parts, and what is gathered for the third, the other's third would not fit.
  const hanging = b2.fault({ operation: 'UploadPart', action: 'hang', times: Infinity })
  const third = b2.waitFor('fault', ({ partNumber }) => partNumber === 3)
  const second = put(service, bytes(16 * MIB), 'second.wav')
  await third
  hanging.cancel()
  t.equal((await second).status, 201)

  b2.fault({ operation: 'UploadPart', status: 503, times: 2 })
  request.end(content.subarray(14 * MIB))
  const { status, body } = await answer
  t.match({ status, body }, { status: 202, body: { storage: 'split', split: { b2_bytes: 2 * PART, local_bytes: PART } } })
  t.equal((await service.app.uploads.promote()).promoted, 2)
  t.equal(sha256(b2.read(body.location)!), sha256(content))
})
