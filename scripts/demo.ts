import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Fastify from 'fastify'
import service, { serverOptions } from '../app.ts'
import { startB2Emulator } from '../emulator/index.ts'
import type { B2Emulator } from '../emulator/index.ts'
import { wav } from './sample-audio.ts'

const HOST = '127.0.0.1'
const WANTED_PORT = Number(process.env['PORT'] || 3000)

const dir = await mkdtemp(join(tmpdir(), 'fastify-b2-uploads-demo-'))
const cleanUp: (() => Promise<unknown>)[] = [() => rm(dir, { recursive: true, force: true })]
let stopping = false

// A terminal's Ctrl-C may come twice, from the terminal and from npm.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => { stop().catch(fail) })

const started = run()
await started.catch(fail)

async function run (): Promise<void> {
  const track = join(dir, 'sample-track.wav')
  await writeFile(track, wav({ seconds: 8, title: 'Pentatonic Morning', artist: 'The Sample Generators', trackNumber: 1, year: 2025 }))
  const b2 = await startB2Emulator({ host: HOST })
  cleanUp.unshift(() => b2.close())
  const url = await startService(b2)
  const file = /^[\w./-]+$/.test(track) ? `file=@${track}` : `'file=@"${track}"'`
  console.log(`
The service listens at ${url}, and stores in an emulated B2. In another terminal:

  curl -F ${file} ${url}/uploads

The answer says "storage":"b2". Break B2, and the same command is answered with "storage":"local" and the reason. Mend
it, and B2 is used again; within some seconds the file that fell back is moved there, too, and the log says
"promotion.done":

  curl -X POST ${url}/demo/break-b2
  curl -X POST ${url}/demo/mend-b2

Ctrl-C ends the demo and removes all its files. The service's log follows.
`)
}

/** Starts the service; nothing of this shell's own settings may send the demo's files to a real bucket. */
async function startService (b2: B2Emulator): Promise<string> {
  const env = {
    LOCAL_STORAGE_DIR: join(dir, 'storage'),
    B2_ENDPOINT: b2.endpoint,
    B2_REGION: b2.region,
    B2_BUCKET: b2.bucket,
    B2_APPLICATION_KEY_ID: b2.credentials.accessKeyId,
    B2_APPLICATION_KEY: b2.credentials.secretAccessKey,
    // Nobody wants to wait long for a fallback, for the recovery or for the move.
    B2_MAX_ATTEMPTS: '2',
    BREAKER_RESET_MS: '5000',
    PROMOTE_INTERVAL_MS: '3000',
    SHUTDOWN_GRACE_MS: '1000',
  }
  const app = Fastify(serverOptions(env))
  cleanUp.unshift(async () => { await app.close() })
  await app.register(service, { env })
  app.post('/demo/break-b2', async () => {
    await b2.refuseConnections()
    return { b2: 'broken' }
  })
  app.post('/demo/mend-b2', async () => {
    await b2.acceptConnections()
    return { b2: 'well' }
  })
  return await app.listen({ host: HOST, port: await isFree(WANTED_PORT) ? WANTED_PORT : 0 })
}

async function isFree (port: number): Promise<boolean> {
  const probe = createServer().listen(port, HOST)
  try {
    await once(probe, 'listening')
    return (probe.address() as AddressInfo).port === port
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return false
    throw error
  } finally {
    probe.close()
  }
}

async function stop (): Promise<void> {
  if (stopping) return
  stopping = true
  await started.catch(() => {})
  for (const step of cleanUp) await step()
  process.exit()
}

async function fail (error: unknown): Promise<void> {
  console.error(error)
  process.exitCode = 1
  await stop()
}
