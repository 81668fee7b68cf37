import type { Test } from 'tap'
import type { B2Emulator, B2EmulatorOptions } from '../../../emulator/index.ts'
import { createB2Client } from '../../../services/b2/http/client.ts'
import type { B2ConnectionOptions } from '../../../services/b2/http/client.ts'
import { UploadClient } from '../../../services/b2/upload-client.ts'
import type { UploadClientOptions } from '../../../services/b2/upload-client.ts'
import { startB2 } from '../service/service.ts'

export const KEY = 'tracks/song.mp3'
export const BODY = Buffer.from('content')

export interface ViewStage {
  readonly b2: B2Emulator
  readonly view: UploadClient
  /** Parts that were acknowledged. */
  readonly acknowledged: [number, boolean][]
  /** Ends even the request that begins an upload. */
  readonly closing: AbortController
  /** What B2 was asked, in its order. */
  operations (): string[]
}

/** The view of an upload on an emulator. Tries follow each other without a pause, as chance would have it. */
export async function setUpView (t: Test, options: Partial<UploadClientOptions> = {}, connection: Partial<B2ConnectionOptions> = {}, emulator: B2EmulatorOptions = {}): Promise<ViewStage> {
  t.intercept(Math, 'random', { value: () => 0 })
  const b2 = await startB2(t, emulator)
  const { endpoint, region, bucket, credentials } = b2
  const client = createB2Client({
    endpoint, region, bucket, applicationKeyId: credentials.accessKeyId, applicationKey: credentials.secretAccessKey, maxAttempts: 1, ...connection,
  }, new WeakMap())
  t.teardown(() => { client.destroy() })
  const acknowledged: [number, boolean][] = []
  const closing = new AbortController()
  const view = new UploadClient({
    client,
    bucket,
    key: KEY,
    maxAttempts: 2,
    signParts: false,
    closing: closing.signal,
    onPartStored: (number, firstTry) => { acknowledged.push([number, firstTry]) },
    ...options,
  })
  return { b2, view, acknowledged, closing, operations: () => b2.requests.map(({ operation }) => operation) }
}
