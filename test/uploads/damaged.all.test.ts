import t from 'tap'
import type { Fault } from '../../emulator/index.ts'
import { damaged } from '../support/clients/digests.ts'
import { sha256 } from '../support/service/service.ts'
import { contentOf, nameOf } from '../support/service/stored-files.ts'
import { BEYOND, LARGE, PART, PLACES, b2Fails, isRefused, sendLarge, start } from '../support/uploads/damaged.ts'

t.test('a damaged file is not split: B2 keeps no part of it, nor does the local directory', async t => {
  const stage = await start(t, BEYOND)
  const { b2, service } = stage
  // Late enough for the first part to be acknowledged before the second fails.
  const fault: Fault = { operation: ['UploadPart', 'CompleteMultipartUpload'], after: 1, status: 503, delayMs: 500, times: Infinity }
  for (const [part, at] of PLACES) {
    await t.test(`in the ${part} part`, async t => {
      const outage = b2.fault(fault)
      await isRefused(t, stage, async () => await sendLarge(service, damaged(LARGE, at), b2Fails(service)))
      outage.cancel()
    })
  }
  const outage = b2.fault(fault)
  const { status, body } = await sendLarge(service, LARGE, b2Fails(service))
  t.match({ status, body }, { status: 202, body: { storage: 'split', split: { b2_bytes: PART, local_bytes: PART + 1_000 } } }, 'an undamaged one is')
  outage.cancel()
  t.match(await service.app.uploads.promote(), { promoted: 1 })
  t.equal(await contentOf(service, nameOf(body.track.key)), sha256(LARGE))
})
