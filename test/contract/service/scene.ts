import type { Test } from 'tap'
import type { Answer, TestService } from '../../support/service/service.ts'
import { sha256, startService } from '../../support/service/service.ts'
import { setScene } from '../scene.ts'
import type { Scene } from '../scene.ts'
import type { Target } from '../target.ts'

/** Variables that point the service at a target, with times short enough for tests; nothing is promoted but by a call. */
export function targetEnv ({ endpoint, region, bucket, credentials }: Target, prefix: string): Record<string, string> {
  return {
    B2_ENDPOINT: endpoint,
    B2_REGION: region,
    B2_BUCKET: bucket,
    B2_APPLICATION_KEY_ID: credentials.accessKeyId,
    B2_APPLICATION_KEY: credentials.secretAccessKey,
    B2_KEY_PREFIX: prefix,
    B2_CONNECT_TIMEOUT_MS: '5000',
    B2_STALL_TIMEOUT_MS: '10000',
    PROMOTE_INTERVAL_MS: '0',
  }
}

export interface ServiceScene extends Scene {
  /** The service on the target, as told by further variables; it ends with the test. */
  start (env?: Record<string, string>): Promise<TestService>
}

/** A test of the service on a target; whatever it leaves there is removed. */
export async function serviceScene (t: Test, target: Target, name: string, run: (t: Test, scene: ServiceScene) => Promise<void>): Promise<void> {
  await t.test(name, async t => {
    const own = setScene(t, target)
    await run(t, { ...own, start: async (env = {}) => await startService(t, { ...targetEnv(target, own.prefix), ...env }) })
  })
}

/** What of a file should be below the prefix: what came in parts has its receipt beside it. */
export function objectsOf ({ body }: Answer, isInParts: boolean): string[] {
  const name = nameIn(body.track.key)
  return isInParts ? [name, `${name}.receipt.json`] : [name]
}

export function nameIn (key: string): string {
  return key.slice(key.lastIndexOf('/') + 1)
}

/** Asserts a 201 with the size and hash of what was sent, and where it went. */
export function isStored (t: Test, { status, body }: Answer, content: Uint8Array, storage: 'b2' | 'local', error_code?: string): void {
  t.equal(status, 201)
  t.match(body, { storage, track: { size_bytes: content.byteLength, sha256: sha256(content) } }, `${content.byteLength} bytes in ${storage}`)
  if (storage === 'b2') t.equal(body.fallback_from_b2, undefined)
  else t.match(body, { fallback_from_b2: true, fallback_reason: { error_code } })
}
