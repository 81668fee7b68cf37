import type { Test } from 'tap'
import type { B2Emulator } from '../../../emulator/index.ts'
import { CALM } from '../promotion/promotion.ts'
import { b2Env, bytes, put, sha256 } from '../service/service.ts'
import type { TestService } from '../service/service.ts'
import { get, nameOf } from '../service/stored-files.ts'

type Service = Pick<TestService, 'url'>

/** B2 by a name that has to be resolved, as the real one's. */
export function namedB2 (b2: B2Emulator): Record<string, string> {
  return { ...b2Env(b2), ...CALM, B2_ENDPOINT: b2.endpoint.replace('127.0.0.1', 'localhost') }
}

export async function isStoredInB2 (t: Test, b2: B2Emulator, service: Service, size: number): Promise<void> {
  const content = bytes(size)
  const { status, body } = await put(service, content)
  t.match({ status, body }, { status: 201, body: { storage: 'b2' } })
  t.equal(sha256(b2.read(body.track.key)!), sha256(content))
}

/** `GET /ready`, which is answered within two seconds whatever the disk does. */
export async function readiness (t: Test, service: Service): Promise<string> {
  const asked = performance.now()
  const { body } = await get(service, '/ready')
  t.ok(performance.now() - asked < 2_000, 'in time')
  t.equal(body.local.writable, body.status === 'ok')
  return body.status
}

/** Files that fell back. */
export async function fallBack (t: Test, b2: B2Emulator, service: Service, sizes: readonly number[]) {
  const down = b2.fault({ operation: ['PutObject', 'CreateMultipartUpload'], status: 503, times: Infinity })
  const files = await Promise.all(sizes.map(async size => {
    const content = bytes(size)
    const { body } = await put(service, content)
    t.equal(body.storage, 'local')
    return { name: nameOf(body.track.key), hash: sha256(content) }
  }))
  down.cancel()
  return files
}
