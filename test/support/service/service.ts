import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import service, { serverOptions } from '../../../app.ts'
import { startB2Emulator } from '../../../emulator/index.ts'
import type { B2Emulator, B2EmulatorOptions, StoredVersion } from '../../../emulator/index.ts'
import { BUCKET_MARKER } from '../../../services/local/bucket.ts'
import { send } from './answer.ts'
import type { Answer } from './answer.ts'
import { entriesBelow } from '../disk/directory-entries.ts'
import { lookAt } from '../run/secret-watch.ts'
import { learn, learnFromEnv } from '../run/secrets.ts'

export type { Answer } from './answer.ts'
export { bytes, sha256 } from '../run/bytes.ts'

/** One line of the service's log. */
export type LogLine = Record<string, unknown> & { event?: string, level: number, msg: string }

/** What the service logged, and a way to wait for a line. */
export interface LogBook {
  readonly lines: LogLine[]
  /** The lines of an event. */
  of (event: string): LogLine[]
  /** Resolves with the first line that fits, past or future. */
  until (fits: (line: LogLine) => boolean): Promise<LogLine>
}

export interface TestService {
  readonly app: FastifyInstance
  /** Base URL without a slash at its end. */
  readonly url: string
  readonly log: LogBook
  /** The local directory. */
  readonly dir: string
  /** Names below the local directory, files only, sorted. */
  localFiles (): Promise<string[]>
}

/** An emulator that ends with the test. */
export async function startB2 (t: Test, options: B2EmulatorOptions = {}): Promise<B2Emulator> {
  const b2 = await startB2Emulator(options)
  learn(b2.credentials.accessKeyId, 'a key id')
  learn(b2.credentials.secretAccessKey, 'an application key')
  t.teardown(async () => { await b2.close() })
  return b2
}

/** Environment variables that point the service at an emulator, with times short enough for tests. */
export function b2Env (b2: B2Emulator): Record<string, string> {
  return {
    B2_ENDPOINT: b2.endpoint,
    B2_REGION: b2.region,
    B2_BUCKET: b2.bucket,
    B2_APPLICATION_KEY_ID: b2.credentials.accessKeyId,
    B2_APPLICATION_KEY: b2.credentials.secretAccessKey,
    B2_CONNECT_TIMEOUT_MS: '2000',
    B2_STALL_TIMEOUT_MS: '400',
  }
}

/** The service on a free port, with a local directory of its own; both end with the test. */
export async function startService (t: Test, env: Record<string, string> = {}): Promise<TestService> {
  const dir = await mkdtemp(join(tmpdir(), 'fastify-b2-uploads-'))
  const log = createLogBook()
  const all: Record<string, string> & { LOCAL_STORAGE_DIR: string } = { LOCAL_STORAGE_DIR: dir, SHUTDOWN_GRACE_MS: '1000', ...env }
  learnFromEnv(all)
  const app = Fastify({ ...serverOptions(all), logger: { level: all.LOG_LEVEL ?? 'info', stream: log.stream } })
  await app.register(service, { env: all })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(async () => {
    await app.close()
    await rm(all.LOCAL_STORAGE_DIR, { recursive: true, force: true })
  })
  return { app, url, log, dir: all.LOCAL_STORAGE_DIR, localFiles: () => filesBelow(all.LOCAL_STORAGE_DIR) }
}

export async function filesBelow (dir: string): Promise<string[]> {
  const entries = await entriesBelow(dir)
  // Each directory that was used with a bucket has the marker.
  return entries.filter(entry => entry.isFile() && entry.name !== BUCKET_MARKER).map(entry => join(entry.parentPath, entry.name).slice(dir.length + 1)).sort()
}

/** The names below the local directory once nothing is noted there any more that is to be removed from B2. */
export async function settledFiles (service: Pick<TestService, 'localFiles'>): Promise<string[]> {
  for (;;) {
    const files = await service.localFiles()
    if (!files.some(name => name.startsWith('.leftovers/'))) return files
    await sleep(20)
  }
}

/** What B2 has, files and the receipts beside them told apart. */
export function inB2 (b2: B2Emulator): { files: StoredVersion[], receipts: StoredVersion[] } {
  const isReceipt = ({ key }: StoredVersion): boolean => key.endsWith('.receipt.json')
  return { files: b2.versions().filter(version => !isReceipt(version)), receipts: b2.versions().filter(isReceipt) }
}

export function createLogBook (): LogBook & { stream: Writable } {
  const lines: LogLine[] = []
  const waiting = new Set<(line: LogLine) => void>()
  const stream = new Writable({
    write (chunk: Buffer, _encoding, done) {
      const text = chunk.toString()
      lookAt(text, 'a line of the log')
      const line = JSON.parse(text) as LogLine
      lines.push(line)
      for (const look of waiting) look(line)
      done()
    },
  })
  return {
    stream,
    lines,
    of: event => lines.filter(line => line.event === event),
    until: async fits => lines.find(fits) ?? await new Promise(resolve => {
      const look = (line: LogLine): void => {
        if (!fits(line)) return
        waiting.delete(look)
        resolve(line)
      }
      waiting.add(look)
    }),
  }
}

/** Uploads with `PUT /uploads/{name}`. */
export async function put (service: Pick<TestService, 'url'>, content: Uint8Array, name = 'file.bin', headers: Record<string, string> = {}): Promise<Answer> {
  return await send(`${service.url}/uploads/${encodeURIComponent(name)}`, 'PUT', content, headers)
}

/** Uploads with `POST /uploads`; `before` and `after` are text fields. */
export async function post (
  service: Pick<TestService, 'url'>, content: Uint8Array, name = 'file.bin',
  { before = {}, after = {}, type = '' }: { before?: Record<string, string>, after?: Record<string, string>, type?: string } = {}
): Promise<Answer> {
  const form = new FormData()
  for (const [field, value] of Object.entries(before)) form.append(field, value)
  form.append('file', new Blob([content], { type }), name)
  for (const [field, value] of Object.entries(after)) form.append(field, value)
  const response = await fetch(`${service.url}/uploads`, { method: 'POST', body: form })
  return { status: response.status, headers: response.headers, body: await response.json() }
}
