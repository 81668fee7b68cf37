import t from 'tap'
import { CALM, MIB } from '../support/promotion/promotion.ts'
import { b2Env, bytes, inB2, put, settledFiles, sha256, startB2, startService } from '../support/service/service.ts'

// One answer of each kind; the others are in the second tier.

t.test('a Complete that is answered with white space at first is waited for, and what its document says is what counts', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), ...CALM, B2_STALL_TIMEOUT_MS: '500' })
  const content = bytes(6 * MIB)
  for (const declarationFirst of [false, true]) {
    b2.fault({ operation: 'CompleteMultipartUpload', action: 'white-space', everyMs: 50, delayMs: 1_200, declarationFirst })
    t.match((await put(service, content)).body, { storage: 'b2', track: { sha256: sha256(content) } })
    t.same(inB2(b2).files.map(({ sha256 }) => sha256), [sha256(content)], 'once')
    b2.reset()
  }
  b2.fault({ operation: 'CompleteMultipartUpload', action: 'white-space', everyMs: 20, delayMs: 100, code: 'InternalError' })
  t.match((await put(service, content)).body, { storage: 'local', fallback_reason: { error_code: 'service_unavailable' }, track: { sha256: sha256(content) } })
  t.match(await settledFiles(service), { length: 2 })
  t.same([inB2(b2).files, b2.unfinishedUploads()], [[], []])
})
