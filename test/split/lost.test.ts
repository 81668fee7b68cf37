import http from 'node:http'
import t from 'tap'
import type { Fault } from '../../emulator/index.ts'
import { settled } from '../support/faults/fault-matrix.ts'
import { answerTo } from '../support/service/answer.ts'
import { b2Env, bytes, settledFiles, startB2, startService } from '../support/service/service.ts'

const MIB = 1_048_576
const PART = 5 * MIB
const FILE = bytes(2 * PART + MIB)

const ROWS: Record<string, Fault> = {
  'B2 does not know its upload any more when it is completed': { operation: 'CompleteMultipartUpload', status: 404, code: 'NoSuchUpload' },
  'B2 lacks a part when it is completed': { operation: 'CompleteMultipartUpload', status: 400, code: 'InvalidPart' },
  'the bucket is gone when its parts are listed': { operation: 'ListParts', status: 404, code: 'NoSuchBucket' },
}

for (const [name, fault] of Object.entries(ROWS)) {
  t.test(`${name}: the client is told that the file was not stored, and nothing is left, not even its receipt`, async t => {
    const b2 = await startB2(t)
    const service = await startService(t, { ...b2Env(b2), B2_PART_BYTES: String(PART), REPLAY_WINDOW_BYTES: String(MIB), B2_MAX_ATTEMPTS: '1', PROMOTE_INTERVAL_MS: '0' })
    b2.fault({ operation: 'UploadPart', part: 2, status: 503 })
    b2.fault({ ...fault, times: Infinity })
    const request = http.request(`${service.url}/uploads/long.wav`, { method: 'PUT', agent: false, headers: { 'content-length': FILE.byteLength } })
    const answer = answerTo(request)
    request.write(FILE.subarray(0, 2 * PART + 100_000))
    // Before all has come, so that only the joining stores the receipt.
    await service.log.until(({ event }) => event === 'b2.failed')
    request.end(FILE.subarray(2 * PART + 100_000))
    t.match(await answer, { status: 503, body: { error_code: 'fallback_impossible' } })
    await settled(b2, () => b2.versions().length === 0 && b2.unfinishedUploads().length === 0)
    t.same(await settledFiles(service), [])
    t.equal((await service.app.uploads.status()).pending_promotions, 0)
  })
}
