import t from 'tap'
import { b2Env, bytes, inB2, put, sha256, startB2, startService } from '../support/service/service.ts'

const MIB = 1_048_576
const PART = 5 * MIB
const FILE = bytes(4 * PART + 1_000)

/** The beginning of each file is given up as soon as B2 has its first part. */
const ENV = { B2_PART_BYTES: String(PART), REPLAY_WINDOW_BYTES: String(MIB), BREAKER_RESET_MS: '100', B2_MAX_ATTEMPTS: '1', PROMOTE_INTERVAL_MS: '300' }

t.test('a large file that B2 fails in the middle is split, and joined once B2 is well', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), ...ENV })
  const fault = b2.fault({ operation: ['UploadPart', 'CompleteMultipartUpload'], after: 2, status: 503, times: Infinity })
  const answer = await put(service, FILE, 'long.wav')
  t.equal(answer.status, 202)
  t.match(answer.body, { storage: 'split', fallback_from_b2: true, fallback_reason: { error_code: 'service_unavailable' }, split: { b2_bytes: 2 * PART, local_bytes: 2 * PART + 1_000 } })
  const { track: { key } } = answer.body as { track: { key: string } }
  console.error(await service.localFiles(), JSON.stringify(answer.body))
  const name = key.split('/').at(-1)!
  const content = await fetch(`${service.url}/uploads/${name}/content`)
  console.error(content.status, await content.text())
  fault.cancel()
  await service.log.until(({ event }) => event === 'promotion.done')
  const read = await fetch(`${service.url}/uploads/${name}/content`)
  t.equal(sha256(Buffer.from(await read.arrayBuffer())), sha256(FILE))
  t.equal(inB2(b2).files.length, 1)
  t.same(await service.localFiles(), [])
})
