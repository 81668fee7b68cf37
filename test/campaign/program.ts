import { breakDisk, mendDisk, watchDisk } from './disk/faulty-disk.ts'
import type { DiskFault } from './script.ts'

/** What a program is told over IPC: first to begin, then about its disk. */
export type Order =
  | { readonly order: 'begin', readonly program: 'server' | 'promote', readonly args: readonly string[], readonly env: Readonly<Record<string, string>> }
  | { readonly order: 'break', readonly fault: DiskFault }
  | { readonly order: 'mend' }
  | { readonly order: 'report' }

/** What it answers to each. */
export interface Report {
  /** The most that was ever resident, in bytes, as samples saw it. */
  readonly peakRss: number
}

const SAMPLE_MS = 20
let peakRss = 0

// The service, or the command, as it is; only its disk may be told to fail. It loads its code and waits, so that the next
// one can be kept ready, and ends with the one that started it.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
process.on('message', (order: Order) => {
  obey(order)
  sample()
  process.send?.({ peakRss } satisfies Report)
})
await import('../../app.ts')
process.send?.('ready')

/** The operating system's own peak begins with that of the process it was forked from. */
function sample (): void {
  peakRss = Math.max(peakRss, process.memoryUsage.rss())
}

function obey (order: Order): void {
  if (order.order === 'break') breakDisk(order.fault)
  else if (order.order === 'mend') mendDisk()
  else if (order.order === 'begin') begin(order)
}

function begin ({ program, args, env }: Order & { order: 'begin' }): void {
  Object.assign(process.env, env)
  process.argv.splice(2, Infinity, ...args)
  setInterval(sample, SAMPLE_MS).unref()
  watchDisk(env['LOCAL_STORAGE_DIR']!, env['CAMPAIGN_JOURNAL']!)
  // The program alone says when it ends.
  process.channel?.unref()
  void import(program === 'server' ? '../../server.ts' : '../../cli/promote.ts')
}
