import type { Test } from 'tap'
import type { B2Emulator } from '../../../emulator/index.ts'
import { createB2Client } from '../../../services/b2/http/client.ts'
import type { B2ConnectionOptions } from '../../../services/b2/http/client.ts'
import { withDefaults } from '../../../services/config/options.ts'
import type { B2Cleanup } from '../../../services/b2/cleanup/cleanup.ts'
import type { Leftover } from '../../../services/b2/cleanup/notes.ts'
import { createObjectWriter } from '../../../services/b2/object-writer.ts'
import type { ObjectWriter, ObjectWriterOptions } from '../../../services/b2/object-writer.ts'
import type { B2ObjectInfo, B2PartsUpload, B2Result, PartsOptions, PutOptions } from '../../../services/b2/store.ts'
import { PART } from './stage.ts'
import { sha256, startB2 } from '../service/service.ts'

export const KEY = 'tracks/song.mp3'
export const INFO: B2ObjectInfo = { key: KEY, contentType: 'audio/mpeg', metadata: { filename: 'song.mp3' } }
export const BODY = Buffer.from('content')
export const PARTS = [Buffer.alloc(PART, 'a'), Buffer.from('the end')] as const

export interface WriterStage {
  readonly b2: B2Emulator
  readonly writer: ObjectWriter
  readonly hashes: WeakMap<Uint8Array, string>
  /** What the clean-up was given. */
  readonly left: Leftover[]
  /** Codes of what B2 failed with. */
  readonly failures: string[]
  put (info?: B2ObjectInfo, how?: PutOptions): Promise<B2Result>
  begin (info?: B2ObjectInfo, options?: Partial<PartsOptions>): B2PartsUpload
  /** Uploads all {@link PARTS}. */
  putParts (info?: B2ObjectInfo, options?: Partial<PartsOptions>): Promise<B2Result>
}

/** What writes objects to an emulator, with one try of each request. */
export async function setUpWriter (t: Test, options: Partial<ObjectWriterOptions> = {}, connection: Partial<B2ConnectionOptions> = {}): Promise<WriterStage> {
  const b2 = await startB2(t)
  const { endpoint, region, bucket, credentials } = b2
  const hashes = new WeakMap<Uint8Array, string>()
  const client = createB2Client({
    endpoint, region, bucket, applicationKeyId: credentials.accessKeyId, applicationKey: credentials.secretAccessKey, maxAttempts: 1, ...connection,
  }, hashes)
  t.teardown(() => { client.destroy() })
  const left: Leftover[] = []
  const failures: string[] = []
  const writer = createObjectWriter({
    client,
    ...withDefaults('b2', { maxAttempts: 2, partBytes: PART, bucket }),
    concurrency: 5,
    hashes,
    redact: text => text.replaceAll('secret', '***'),
    cleanup: {
      add: (leftover: Leftover) => { left.push(leftover) },
      async note (leftover: Leftover) {
        left.push(leftover)
        return true
      },
    } as B2Cleanup,
    onFailure: code => { failures.push(code) },
    ...options,
  })
  const begin: WriterStage['begin'] = (info = INFO, options = {}) => writer.begin(info, { onPartStored () {}, mayFallBack: () => true, ...options })
  return {
    b2,
    writer,
    hashes,
    left,
    failures,
    begin,
    put: async (info = INFO, how) => await writer.put(info, BODY, sha256(BODY), how),
    async putParts (info, options) {
      const upload = begin(info, options)
      for (const [index, part] of PARTS.entries()) await upload.push(part, index === PARTS.length - 1)
      return await upload.result
    },
  }
}
