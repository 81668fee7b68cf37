import { readFile } from 'node:fs/promises'
import t from 'tap'
import type { Fault } from '../../../emulator/index.ts'
import { checkLeftovers, MIB, settled } from './fault-matrix.ts'
import { b2Env, bytes, put, settledFiles, sha256, startB2, startService } from '../service/service.ts'

/** The smallest that B2 takes, so that the window, and with it the file, is no larger than it has to be. */
const PART = 5 * MIB
const WINDOW = 2 * PART
const SIZE = 8 * PART

export interface BeyondRow { name: string, faults: Fault[], error_code: string, stalls?: true }

/** B2 fails when byte 0 is gone, and files are not split: the client is told so, nothing is left, and its retry meets the open circuit. */
export function failBeyondWindow ({ name, faults, error_code, stalls }: BeyondRow): void {
  t.test(`${name}: fallback_impossible, and the retry is stored`, async t => {
    const b2 = await startB2(t)
    const service = await startService(t, {
      ...b2Env(b2),
      B2_PART_BYTES: String(PART),
      REPLAY_WINDOW_BYTES: String(WINDOW),
      FALLBACK_BEYOND_WINDOW: 'refuse',
      B2_MAX_ATTEMPTS: '2',
      B2_STALL_TIMEOUT_MS: stalls === true ? '1000' : '10000',
    })
    const content = bytes(SIZE)
    for (const fault of faults) b2.fault(fault)

    const failed = await put(service, content, 'long.mp3')
    t.match(failed, {
      status: 503,
      body: {
        error_code: 'fallback_impossible',
        error: String,
        detail: /10485760/,
        hints: [String],
        correlation_id: failed.headers.get('x-correlation-id'),
      },
    })
    t.equal(failed.headers.get('retry-after'), '1')
    t.same(Object.keys(failed.body).sort(), ['correlation_id', 'detail', 'error', 'error_code', 'hints'])
    const told = service.log.lines.filter(({ event }) => event !== undefined && !event.startsWith('b2.cleanup'))
    t.match(told, [
      { event: 'breaker.open', error_code },
      { event: 'b2.failed', error_code },
      { event: 'upload.failed', error_code: 'fallback_impossible', level: 50, correlation_id: failed.body.correlation_id },
    ])
    t.equal(told.length, 3)

    await settled(b2, () => b2.unfinishedUploads().length === 0 && b2.versions().length === 0)
    t.same(await settledFiles(service), [])

    const writes = b2.requests.filter(({ operation }) => ['PutObject', 'CreateMultipartUpload'].includes(operation)).length
    const retried = await put(service, content, 'long.mp3')
    t.match(retried, { status: 201, body: { storage: 'local', fallback_from_b2: true, fallback_reason: { error_code } } })
    t.equal(sha256(await readFile(retried.body.location)), sha256(content))
    t.equal(b2.requests.filter(({ operation }) => ['PutObject', 'CreateMultipartUpload'].includes(operation)).length, writes, 'B2 was left alone')
    await checkLeftovers(t, retried, 'network_error', service, b2)
  })
}
