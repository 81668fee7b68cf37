import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { B2Emulator } from '../../../emulator/index.ts'
import { bundle } from '../../../scripts/bundle.ts'
import { answerTo } from './answer.ts'
import type { Answer } from './answer.ts'
import { memoryFor } from './memory-limit.ts'
import { b2Env, bytes } from './service.ts'
import type { ProcessReport } from './service-process.ts'

const MIB = 1_048_576

/**
 * What the process has in array buffers beyond the budget, whatever the budget is: for each of 200 connections a chunk or
 * two of 64 KiB on its way from the socket to its buffer (25 MiB); the larger buffer of one upload that is copied into (a
 * part, 8 MiB); and what nobody uses any more, chunks and buffers of sizes that are not wanted now, of which V8 lets
 * 64 MiB gather before it begins to collect, and some more until it has.
 */
export const OVERHEAD_BYTES = 128 * MIB

/** The service in a process of its own. */
export interface ServiceProcess {
  readonly url: string
  report (): Promise<ProcessReport>
}

/** It ends with the test. */
export async function startServiceProcess (t: Test, b2: B2Emulator, env: Record<string, string>): Promise<ServiceProcess> {
  const dir = await mkdtemp(join(tmpdir(), 'fastify-b2-uploads-'))
  const child = fork(bundle('test/support/service/service-process.ts'), [], {
    execArgv: [], // a loader of this process would hold the code, too
    // Two slow cores do all the work here: nothing may seem to stall because they are busy.
    env: { PATH: process.env['PATH'] ?? '', ...b2Env(b2), B2_STALL_TIMEOUT_MS: '30000', B2_CONNECT_TIMEOUT_MS: '30000', LOCAL_STORAGE_DIR: dir, SHUTDOWN_GRACE_MS: '1000', ...env },
  })
  t.teardown(async () => {
    const exited = child.exitCode === null ? once(child, 'exit') : undefined
    if (child.connected) child.disconnect()
    await exited
    await rm(dir, { recursive: true, force: true })
  })
  const { url } = await nextReport(child)
  return {
    url,
    async report () {
      child.send('report')
      return await nextReport(child)
    },
  }
}

async function nextReport (child: ChildProcess): Promise<ProcessReport> {
  const gone = new AbortController()
  const exited = once(child, 'exit', { signal: gone.signal }).then(([code]) => { throw new Error(`The service ended with code ${String(code)}.`) })
  try {
    const [report] = await Promise.race([once(child, 'message', { signal: gone.signal }), exited])
    return report as ProcessReport
  } finally {
    gone.abort()
    await exited.catch(() => {})
  }
}

/** A file that shares all but its last bytes with others, as a thousand of them would not fit this process either. */
export interface SharedFile {
  readonly pieces: readonly [Uint8Array, Uint8Array]
  readonly size: number
  readonly sha256: string
}

export function sharedFiles (count: number, size: number): SharedFile[] {
  const body = bytes(size - 16)
  const hash = createHash('sha256').update(body)
  return Array.from({ length: count }, () => {
    const end = bytes(16)
    return { pieces: [body, end] as const, size, sha256: hash.copy().update(end).digest('hex') }
  })
}

/** `PUT /uploads/{name}` on a connection of its own. */
export async function upload ({ url }: Pick<ServiceProcess, 'url'>, { pieces, size }: SharedFile, announced = true): Promise<Answer> {
  const request = http.request(`${url}/uploads/file.bin`, {
    method: 'PUT', agent: false, headers: announced ? { 'content-length': size } : {},
  })
  request.write(pieces[0])
  request.end(pieces[1])
  return await answerTo(request)
}

/** A client that sends something at once and then so many bytes a second, until it is answered or leaves. */
export interface SlowClient {
  /** What it was answered; undefined where it left before. */
  readonly answer: Promise<Answer | undefined>
  leave (): void
}

export function startSlowClient ({ url }: Pick<ServiceProcess, 'url'>, { size, atOnce, bytesPerSecond }: { size: number, atOnce: number, bytesPerSecond: number }): SlowClient {
  const request = http.request(`${url}/uploads/slow.bin`, { method: 'PUT', agent: false, headers: { 'content-length': size } })
  const piece = bytes(Math.ceil(bytesPerSecond / 4))
  request.write(bytes(atOnce))
  const timer = setInterval(() => { request.write(piece) }, 250)
  const answer = answerTo(request).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ECONNRESET') throw error
    return undefined
  }).finally(() => {
    clearInterval(timer)
    request.destroy()
  })
  return { answer, leave: () => { request.destroy() } }
}

/** Puts all files at once; each must arrive in B2 as it is, and the memory must stay within its bound. */
export async function putAll (t: Test, b2: B2Emulator, env: Record<string, string>, files: readonly SharedFile[], budgetBytes: number): Promise<void> {
  const service = await startServiceProcess(t, b2, env)
  // Every fourth client does not say how much will come.
  const answers = await Promise.all(files.map((file, index) => upload(service, file, index % 4 !== 0)))
  const stored = new Map(b2.objects().map(({ key, sha256 }) => [key, sha256]))
  t.same(answers.filter(({ status, body }) => status !== 201 || body.storage !== 'b2'), [], 'all are in B2')
  t.ok(answers.every(({ body }, index) => stored.get(body.location) === files[index]!.sha256), 'all are intact')

  const report = await service.report()
  t.comment(JSON.stringify(report))
  t.ok(report.peakHeld > budgetBytes / 2, 'the budget was used')
  t.ok(report.peakHeld <= budgetBytes, 'the budget held')
  t.ok(report.peakArrayBuffers <= budgetBytes + OVERHEAD_BYTES, `${Math.round(report.peakArrayBuffers / MIB)} MiB in array buffers at most`)
  t.ok(report.peakRss <= memoryFor(budgetBytes), `${Math.round(report.peakRss / 1_000_000)} MB resident at most, as documented`)
  t.equal(report.heldBytes, 0, 'all is given back')
  t.equal(report.inFlight, 0)
  t.same(b2.unfinishedUploads(), [])
}
