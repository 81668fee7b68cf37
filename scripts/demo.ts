import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silenceSdkWarning } from '../cli/sdk-warning.ts'
import { sampleTrack } from '../demo/sample-tracks.ts'
import { startDemo } from '../demo/start.ts'

silenceSdkWarning()

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
  await writeFile(track, sampleTrack('pentatonic-morning.wav'))
  const { url, close } = await startDemo({ dir, port: await isFree(WANTED_PORT) ? WANTED_PORT : 0 })
  cleanUp.unshift(close)
  const file = /^[\w./-]+$/.test(track) ? `file=@${track}` : `'file=@"${track}"'`
  console.log(`
The service listens at ${url} and stores files in an emulated B2. Open its page, drop some songs on it and unplug B2:

  ${url}/demo

Or do the same in another terminal:

  curl -F ${file} ${url}/uploads

The answer says "storage":"b2". Break B2, and the same command gets "storage":"local" and the reason. Repair it, and
B2 is used again. Within a few seconds the file that fell back moves there too, and the log says "promotion.done":

  curl -X POST ${url}/demo/b2/down
  curl -X POST ${url}/demo/b2/healthy

Ctrl-C ends the demo and removes all its files. The service's log follows.
`)
}

async function isFree (port: number): Promise<boolean> {
  const probe = createServer().listen(port, '127.0.0.1')
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
