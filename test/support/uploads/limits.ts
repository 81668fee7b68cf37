import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { isError } from '../clients/raw-http.ts'
import { filePart, form, postBody, streamOf } from '../forms/forms.ts'
import { quiet } from '../run/quiet.ts'
import { b2Env, bytes, put, sha256, startB2, startService } from '../service/service.ts'
import type { Answer, TestService } from '../service/service.ts'

const MIB = 1_048_576

export async function putChunked (service: Pick<TestService, 'url'>, content: Uint8Array): Promise<Answer> {
  const response = await fetch(`${service.url}/uploads/a.bin`, { method: 'PUT', body: streamOf(content), duplex: 'half' } as RequestInit)
  return { status: response.status, headers: response.headers, body: await response.json() }
}

export const ways: Record<string, (service: TestService, content: Buffer) => Promise<Answer>> = {
  'PUT with its length': put,
  'PUT without a length': putChunked,
  'POST with its length': (service, content) => postBody(service, form(filePart(content))),
  'POST without a length': (service, content) => postBody(service, streamOf(form(filePart(content)))),
}

const PART = 5 * MIB
const WINDOW = 10 * MIB
/** Of one request, of several parts, larger than the window. */
export const SIZES = [1, 1_000, PART - 1, PART, PART + MIB + 17, WINDOW + 2 * MIB]

/** A file of so many bytes is stored if that is the limit, and one with a byte more is not. */
export function keepLimit (mode: 'B2' | 'local-only', sizes: readonly number[]): void {
  t.test(`UPLOAD_MAX_BYTES is exact to the byte in ${mode} mode, and nothing is left of a larger file`, async t => {
    const b2 = await startB2(t)
    for (const max of sizes) {
      const service = await startService(t, {
        UPLOAD_MAX_BYTES: String(max),
        B2_PART_BYTES: String(PART),
        REPLAY_WINDOW_BYTES: String(WINDOW),
        ...(mode === 'B2' ? { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000' } : {}),
      })
      const most = bytes(max)
      const tooMuch = Buffer.concat([most, Buffer.from('x')])
      for (const [name, upload] of Object.entries(ways)) {
        await t.test(`${name}, at most ${max} bytes`, async t => {
          const refused = await upload(service, tooMuch)
          isError(t, refused, 413, 'file_too_large')
          await quiet(b2) // the clean-up is in the background
          t.same(b2.versions(), [])
          t.same(await service.localFiles(), [])
          t.match(service.log.of('upload.failed').at(-1), { error_code: 'file_too_large', level: 40, correlation_id: refused.body.correlation_id })

          const accepted = await upload(service, most)
          t.equal(accepted.status, 201)
          t.equal(accepted.body.track.sha256, sha256(most))
          t.equal(accepted.body.track.size_bytes, max)
          b2.reset()
          await rm(join(service.dir, 'tracks'), { recursive: true, force: true })
        })
      }
    }
  })
}
