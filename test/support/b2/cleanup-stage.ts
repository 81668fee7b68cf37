import { join } from 'node:path'
import { CreateMultipartUploadCommand, DeleteObjectCommand, PutObjectCommand, UploadPartCommand } from '@aws-sdk/client-s3'
import type { Test } from 'tap'
import type { B2Emulator, B2EmulatorOptions } from '../../../emulator/index.ts'
import { B2Cleanup } from '../../../services/b2/cleanup/cleanup.ts'
import type { B2CleanupOptions } from '../../../services/b2/cleanup/cleanup.ts'
import { createB2Client } from '../../../services/b2/http/client.ts'
import type { B2Client } from '../../../services/b2/http/client.ts'
import { Notes } from '../../../services/b2/cleanup/notes.ts'
import { clientOf } from './emulator-client.ts'
import { createLogBook, startB2 } from '../service/service.ts'
import type { LogBook } from '../service/service.ts'

export const KEY = 'tracks/song.mp3'
export const COMPANION = `${KEY}.receipt.json`
export const DAY = 86_400_000

export interface Process { cleanup: B2Cleanup, log: LogBook }

export interface Stage {
  b2: B2Emulator
  /** Where leftovers are written down. */
  dir: string
  /** A clean-up as a process of its own would have it, on `dir`. */
  start (options?: Partial<B2CleanupOptions>): Process
  /** Stores a version of an object. */
  put (key?: string): Promise<void>
  /** Hides an object, as a DELETE without a version does. */
  hide (key: string): Promise<void>
  /** Begins a multipart upload; gives its id. */
  begin (key?: string): Promise<string>
  putPart (key: string, uploadId: string, partNumber: number): Promise<void>
  /** Notes on disk. */
  noted (): Promise<object[]>
  /** Versions in B2, hide markers with a dash. */
  versions (): string[]
}

export async function setUp (t: Test, options: B2EmulatorOptions = {}): Promise<Stage> {
  const dir = join(t.testdir(), '.leftovers')
  const b2 = await startB2(t, options)
  const plain = clientOf(b2)
  t.teardown(() => { plain.destroy() })
  const Bucket = b2.bucket
  return {
    b2,
    dir,
    start (own = {}) {
      const log = createLogBook()
      const write = (fields: object, msg: string): void => { log.stream.write(JSON.stringify({ ...fields, msg })) }
      const tools = { info: write, warn: write, error: write }
      const cleanup = new B2Cleanup({
        client: clientTo(t, b2), bucket: Bucket, log: tools, notes: new Notes({ dir, log: tools }), ...own,
      })
      t.teardown(async () => { await cleanup.close() })
      return { cleanup, log }
    },
    async put (Key = KEY) { await plain.send(new PutObjectCommand({ Bucket, Key, Body: 'x' })) },
    async hide (Key) { await plain.send(new DeleteObjectCommand({ Bucket, Key })) },
    async begin (Key = KEY) { return (await plain.send(new CreateMultipartUploadCommand({ Bucket, Key }))).UploadId! },
    async putPart (Key, UploadId, PartNumber) { await plain.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body: 'x' })) },
    async noted () { return new Notes({ dir }).readAtStart().map(({ leftover }) => leftover) },
    versions: () => b2.versions().map(({ key, isHideMarker }) => isHideMarker ? `-${key}` : key),
  }
}

export function clientTo (t: Test, { endpoint, region, bucket, credentials }: Pick<B2Emulator, 'endpoint' | 'region' | 'bucket' | 'credentials'>): B2Client {
  const client = createB2Client({
    endpoint, region, bucket, applicationKeyId: credentials.accessKeyId, applicationKey: credentials.secretAccessKey, maxAttempts: 1,
  }, new WeakMap())
  t.teardown(() => { client.destroy() })
  return client
}

/** A client of a B2 that is down for good: a process with it can note leftovers, and never removes one. */
export async function deadClient (t: Test): Promise<B2Client> {
  const b2 = await startB2(t)
  await b2.refuseConnections()
  return clientTo(t, b2)
}

/** Resolves when no request is under way and nothing waits, on disk either. */
export async function workedOff (t: Test, stage: Stage, of: Process): Promise<void> {
  await of.cleanup.close()
  t.same(await stage.noted(), [])
  t.same(of.log.of('b2.leftovers'), [])
}

/** A client whose listings have pages of one. */
export function inPagesOfOne (client: B2Client): B2Client {
  return {
    ...client,
    async send (command, signal) {
      Object.assign(command.input, { MaxKeys: 1, MaxUploads: 1, MaxParts: 1 })
      return await client.send(command, signal)
    },
  }
}

export interface Past {
  /** How long ago an upload was begun, in milliseconds. */
  begun (key: string): number
  /** How long ago a part of it came. */
  partCame (key: string, part: number): number
}

/** A client of a B2 where things happened longer ago. */
export function withPast (client: B2Client, past: Past): B2Client {
  return {
    ...client,
    async send (command, signal) {
      const output = await client.send(command, signal)
      const { Uploads, Key, Parts } = output as { Uploads?: Array<{ Key: string, Initiated: Date }>, Key?: string, Parts?: Array<{ PartNumber: number, LastModified: Date }> }
      for (const upload of Uploads ?? []) upload.Initiated = new Date(Date.now() - past.begun(upload.Key))
      for (const part of Parts ?? []) part.LastModified = new Date(Date.now() - past.partCame(Key!, part.PartNumber))
      return output
    },
  }
}
