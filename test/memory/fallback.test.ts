import { Readable } from 'node:stream'
import t from 'tap'
import { b2Env, bytes, sha256, startB2, startService } from '../support/service/service.ts'
import { contentOf, nameOf } from '../support/service/stored-files.ts'

const MIB = 1_048_576
const CHUNK = 65_536 // 64 KiB
const PART = 5 * MIB
/** As many parts as B2 is given at once, and the one that waits behind them: all that is set aside for an upload. */
const MOST_HELD = 6 * PART

t.test('a fallback goes on though all the memory that the upload may have is held for B2', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, {
    ...b2Env(b2),
    B2_PART_BYTES: String(PART),
    B2_STALL_TIMEOUT_MS: '60000',
    B2_MAX_ATTEMPTS: '1',
    REPLAY_WINDOW_BYTES: String(6 * MIB),
    MEMORY_BUDGET_BYTES: String(48 * MIB),
    PROMOTE_INTERVAL_MS: '0',
  })
  b2.fault({ operation: 'CreateMultipartUpload', action: 'hang', times: Infinity })
  const content = bytes(MOST_HELD + 2 * MIB)

  /** B2 goes away when all parts are full and one more chunk has been taken. */
  async function * source (): AsyncGenerator<Uint8Array> {
    for (let start = 0; start < content.byteLength; start += CHUNK) {
      if (start === MOST_HELD + CHUNK) await b2.refuseConnections()
      yield content.subarray(start, start + CHUNK)
    }
  }
  const receipt = await service.app.uploads.store(Readable.from(source()), { filename: 'file.bin' })
  t.match(receipt, { storage: 'local', fallback_reason: { error_code: 'network_error' }, track: { sha256: sha256(content) } })
  t.equal(await contentOf(service, nameOf(receipt.track.key)), sha256(content))
})
