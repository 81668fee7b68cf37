import t from 'tap'
import { begin, bodyOf, send } from './leaving-client.ts'
import { b2Env, bytes, inB2, sha256, startB2, startService } from '../service/service.ts'

export const MIB = 1_048_576
export const PART = 5 * MIB

export function isStoredAfter (hows: readonly ('destroy' | 'resetAndDestroy' | 'end')[]): void {
  t.test(`a client that leaves after its last byte has its file stored, by ${hows.join(' or ')}`, async t => {
    const b2 = await startB2(t)
    const service = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', B2_PART_BYTES: String(PART) })
    for (const method of ['PUT', 'POST'] as const) {
      for (const [size, operation] of [[1_000, 'PutObject'], [PART + MIB, 'CompleteMultipartUpload']] as const) {
        for (const how of hows) {
          await t.test(`${method} of ${size} bytes, by ${how}`, async t => {
            const content = bytes(size)
            const body = bodyOf(method, content)
            b2.fault({ operation, delayMs: 150 })
            const seen = b2.waitFor('request', record => record.operation === operation)
            const stored = service.log.of('upload.stored').length
            const socket = await begin(service, method, body)
            await send(socket, body)
            await seen
            socket[how]()
            await service.log.until(() => service.log.of('upload.stored').length > stored)
            t.equal(inB2(b2).files[0]?.sha256, sha256(content))
            b2.reset()
          })
        }
      }
    }
    t.equal(service.log.of('upload.aborted').length, 0)
    t.equal(service.log.of('upload.failed').length, 0)
  })
}
