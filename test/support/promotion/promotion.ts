import type { Test } from 'tap'
import type { B2Emulator, StoredObject } from '../../../emulator/index.ts'
import type { Uploads } from '../../../services/uploads.ts'
import { b2Env, bytes, put, sha256, startB2, startService } from '../service/service.ts'
import type { TestService } from '../service/service.ts'

export const KIB = 1_024
export const MIB = 1_048_576
/** Bytes of a part, so that 12 MiB are three. */
export const PART = 5 * MIB

/** A file that was acknowledged, and its content. */
export interface Stored {
  readonly key: string
  readonly content: Buffer
}

export interface PromotionStage {
  readonly b2: B2Emulator
  readonly service: TestService
  readonly uploads: Uploads
  /** Uploads a file while B2 takes nothing. */
  fallBack (size: number, name?: string): Promise<Stored>
}

/** No promotion but by a call, no circuit, no second try, no stalls. */
export const CALM = {
  B2_STALL_TIMEOUT_MS: '10000',
  B2_MAX_ATTEMPTS: '1',
  B2_PART_BYTES: String(PART),
  BREAKER_THRESHOLD: '0',
  PROMOTE_INTERVAL_MS: '0',
}

export async function setPromotionStage (t: Test, env: Record<string, string> = {}, b2?: B2Emulator): Promise<PromotionStage> {
  const own = b2 ?? await startB2(t)
  const service = await startService(t, { ...b2Env(own), ...CALM, ...env })
  return {
    b2: own,
    service,
    uploads: service.app.uploads,
    fallBack: async (size, name = 'file.bin') => await fallBack(t, own, service, size, name),
  }
}

export async function fallBack (t: Test, b2: B2Emulator, service: TestService, size: number, name = 'file.bin'): Promise<Stored> {
  const down = b2.fault({ operation: ['PutObject', 'CreateMultipartUpload'], status: 503, times: Infinity })
  const content = bytes(size)
  const { body } = await put(service, content, name)
  down.cancel()
  t.equal(body.storage, 'local')
  return { key: body.track.key, content }
}

/** The objects that are files. */
export function filesIn (b2: B2Emulator): StoredObject[] {
  return b2.objects().filter(({ key }) => !key.endsWith('.receipt.json'))
}

/** Each file is in B2 once, with its bytes and nothing unfinished beside it, and nothing is left locally. */
export async function isPromoted (t: Test, b2: B2Emulator, service: TestService, stored: readonly Stored[]): Promise<void> {
  for (const { key, content } of stored) {
    const object = b2.read(key)
    t.equal(object === undefined ? 'missing' : sha256(object), sha256(content), `B2 has ${content.byteLength} bytes`)
    t.equal(b2.versions().filter(version => version.key === key).length, 1, 'once')
  }
  t.same(b2.unfinishedUploads(), [])
  t.same(await service.localFiles(), [])
}

/** Waits until the emulator's state fits, which only its requests can change. */
export async function untilB2 (b2: B2Emulator, fits: () => boolean): Promise<void> {
  while (!fits()) await b2.waitFor('response')
}
