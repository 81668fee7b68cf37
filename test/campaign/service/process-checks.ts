import { setTimeout as delay } from 'node:timers/promises'
import { ask } from '../clients/client.ts'
import type { LogLine, Process } from './process.ts'
import { Violation } from '../judge/violation.ts'

const MIB = 1_048_576
/** What a process needs beside what uploads hold and half of the budget for what is no longer used; docs/operations.md has it. */
const OVERHEAD_BYTES = 260_000_000
const LOOK_MS = 50

/** @throws {Violation} where a process ended by itself, failed in a way that no input may cause, or took too much memory */
export async function checkProcess (process: Process, env: Readonly<Record<string, string>>): Promise<void> {
  for (const line of process.lines) assertHarmless(line)
  // A command has no address. What it has to say goes to standard error, and its exit code was looked at.
  if (process.url === '') return
  if (process.output.length > 0) throw new Violation('output', process.output.join('\n'))
  if (process.hasExited) {
    if (process.ending === undefined) throw new Violation('sudden-end', process.describe())
    return
  }
  if (process.ending !== undefined) return
  const budget = Number(env['MEMORY_BUDGET_BYTES'])
  await process.report()
  const rssBound = budget * 1.5 + OVERHEAD_BYTES
  if (process.peakRss > rssBound) throw new Violation('memory', `${Math.round(process.peakRss / MIB)} MiB were resident, more than ${Math.round(rssBound / MIB)} MiB`)
  const held = await gauge(process, 'upload_memory_held_bytes')
  if (held !== undefined && !(held <= budget + Number(env['B2_PART_BYTES']))) throw new Violation('memory', `${held} bytes are held, more than ${budget} and a part`)
}

/** When uploads and readers have ended, nothing is held for them. @throws {Violation} where it is after so long */
export async function assertIdle (process: Process, limitMs: number): Promise<void> {
  const end = Date.now() + limitMs
  for (;;) {
    const inFlight = await gauge(process, 'uploads_in_flight')
    const held = await gauge(process, 'upload_memory_held_bytes')
    const downloads = await gauge(process, 'downloads_in_flight')
    if (downloads === undefined || (inFlight === 0 && held === 0 && downloads === 0)) return
    if (Date.now() > end) throw new Violation('not-idle', `${inFlight} uploads and ${downloads} downloads are in flight, and ${held} bytes held, when all have ended`)
    await delay(LOOK_MS)
  }
}

/** Undefined where the process has died. @throws {Violation} where it does not answer */
async function gauge (process: Process, name: string): Promise<number | undefined> {
  const metrics = await ask(process.url, 'GET', '/metrics', {})
  if (metrics.kind === 'answered' && metrics.status === 200) return Number(new RegExp(`^${name} (\\d+)`, 'm').exec(String(metrics.body))?.[1])
  if (process.ending === undefined && !process.mayDie) throw new Violation('wrong-answer', `/metrics: ${JSON.stringify(metrics).slice(0, 300)}`)
  return undefined
}

/** Levels: 50 is an error and 60 the end. Of errors only those about stores that fail may be. */
function assertHarmless (line: LogLine): void {
  const isBug = line.level >= 60 || line['error_code'] === 'internal_error' || (line.level >= 50 && line.event === undefined && !/local st|receipt in the local|leftovers/.test(line.msg))
  if (isBug) throw new Violation('bug', JSON.stringify(line))
  if (line['error_code'] === 'parts_gone') throw new Violation('parts-gone', `nobody ended an upload in B2: ${JSON.stringify(line)}`)
}
