import Fastify from 'fastify'
import service, { serverOptions } from '../../../app.ts'
import { tuneGarbageCollection } from '../../../services/process/garbage-collection.ts'
import '../run/secret-watch.ts'

/** What the process reports of itself. */
export interface ProcessReport {
  readonly url: string
  /** The most that samples saw. */
  readonly peakArrayBuffers: number
  readonly peakRss: number
  readonly peakHeld: number
  /** At this moment. */
  readonly heldBytes: number
  readonly inFlight: number
  /** In use by JavaScript and its buffers, after garbage was collected if the process has `--expose-gc`. */
  readonly usedBytes: number
}

const SAMPLE_MS = 20

// The service alone in a process, so that its memory is nobody else's; it is asked for a report by any message, and ends
// with the one that started it.
tuneGarbageCollection()
const app = Fastify({ ...serverOptions(process.env), logger: { level: 'silent' } })
await app.register(service, { env: process.env })
const url = await app.listen({ port: 0, host: '127.0.0.1' })

let [peakArrayBuffers, peakRss, peakHeld] = [0, 0, 0]
setInterval(sample, SAMPLE_MS).unref()

function sample (): void {
  const { arrayBuffers, rss } = process.memoryUsage()
  peakArrayBuffers = Math.max(peakArrayBuffers, arrayBuffers)
  peakRss = Math.max(peakRss, rss)
  peakHeld = Math.max(peakHeld, app.uploads.heldBytes)
}

function report (): void {
  sample()
  const { heldBytes, inFlight } = app.uploads
  globalThis.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  process.send?.({ url, peakArrayBuffers, peakRss, peakHeld, heldBytes, inFlight, usedBytes: heapUsed + external } satisfies ProcessReport)
}

process.on('message', report)
process.on('disconnect', () => { void app.close() })
report()
