import type { Test } from 'tap'
import type { B2Emulator, B2EmulatorOptions } from '../../../emulator/index.ts'
import { createB2Store } from '../../../services/b2/store.ts'
import type { B2Store, B2StoreOptions } from '../../../services/b2/store.ts'
import { createLogBook, sha256, startB2 } from '../service/service.ts'
import type { LogBook } from '../service/service.ts'

export const PART = 5_242_880 // 5 MiB

export interface B2Stage { b2: B2Emulator, store: B2Store, log: LogBook }

/** The B2 store on an emulator, without the service; it ends with the test. */
export function storeOn (t: Test, b2: B2Emulator, options: Partial<B2StoreOptions> = {}): B2Store {
  const store = createB2Store({
    endpoint: b2.endpoint,
    region: b2.region,
    bucket: b2.bucket,
    applicationKeyId: b2.credentials.accessKeyId,
    applicationKey: b2.credentials.secretAccessKey,
    stallTimeoutMs: 10_000,
    maxAttempts: 2,
    partBytes: PART,
    ...options,
  })
  t.teardown(async () => { await store.close() })
  return store
}

/** An emulator and the B2 store on it; both end with the test. */
export async function setB2Stage (t: Test, options: Partial<B2StoreOptions> = {}, emulator: B2EmulatorOptions = {}): Promise<B2Stage> {
  const b2 = await startB2(t, emulator)
  const log = createLogBook()
  const write = (fields: object, msg: string): void => { log.stream.write(JSON.stringify({ ...fields, msg })) }
  const store = storeOn(t, b2, { log: { info: write, warn: write, error: write }, ...options })
  return { b2, store, log }
}

/** Stores an object, with its hash in the metadata. */
export async function putObject (store: B2Store, key: string, content: Uint8Array): Promise<void> {
  const hash = sha256(content)
  const result = await store.put({ key, contentType: 'audio/mpeg', metadata: { sha256: hash } }, content, hash)
  if (!result.ok) throw new Error(result.detail)
}
