import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { bundle } from '../../../scripts/bundle.ts'
import type { Order, Report } from '../program.ts'
import type { DiskFault } from '../script.ts'
import { Violation } from '../judge/violation.ts'

/** One line of a service's log. */
export type LogLine = Record<string, unknown> & { level: number, msg: string, event?: string, correlation_id?: string }

const START_MS = 60_000

/** The service or the command in a process of its own. */
export class Process {
  readonly lines: LogLine[] = []
  /** What it wrote that is no line of a log. */
  readonly output: string[] = []
  readonly exited: Promise<{ code: number | null, signal: string | null }>
  hasExited = false
  /** Whether somebody ended it. */
  ending: 'killed' | 'stopped' | undefined
  /** Whether something that it does to the disk may be its last. */
  mayDie = false
  peakRss = 0
  url = ''
  readonly #child: ChildProcess
  readonly #ready: Promise<unknown>
  readonly #watchers = new Set<() => void>()
  #isDiskBroken = false
  #diskFaults = 0

  /** Begins to load the code. `directory` is where it works, so that it finds no settings of anybody else. */
  constructor (directory: string) {
    this.#child = fork(bundle('test/campaign/program.ts'), [], {
      cwd: directory,
      env: { PATH: process.env['PATH'], AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' },
      execArgv: [], // not those of this process
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    this.#child.on('error', () => {}) // a message to a process that has just ended
    this.#ready = once(this.#child, 'message')
    this.#ready.catch(() => {})
    // Not at its exit, but when all that it wrote has come.
    this.exited = once(this.#child, 'close').then(([code, signal]) => {
      this.hasExited = true
      if (this.mayDie && signal === 'SIGKILL') this.ending ??= 'killed'
      this.#wake()
      return { code, signal }
    })
    createInterface({ input: this.#child.stdout! }).on('line', line => this.#take(line))
    createInterface({ input: this.#child.stderr! }).on('line', line => { this.output.push(line) })
  }

  /** Whether it may have ended before it could clean up what had failed. */
  get mayHaveLeft (): boolean {
    return this.ending === 'killed' || this.#diskFaults > 0
  }

  /** Returns a function that tells whether its disk may have failed since then. */
  watchDisk (): () => boolean {
    const isBroken = this.#isDiskBroken
    const faults = this.#diskFaults
    return () => isBroken || this.#diskFaults !== faults
  }

  async begin (program: 'server' | 'promote', env: Readonly<Record<string, string>>, args: readonly string[] = []): Promise<void> {
    await Promise.race([this.#ready, this.exited])
    await this.#order({ order: 'begin', program, args, env })
  }

  /** Until the service listens. @throws {Violation} where it does not */
  async listening (): Promise<void> {
    const fits = (line: LogLine): boolean => /^Server listening at/.test(line.msg)
    const line = await this.until(fits, START_MS)
    if (line === undefined && this.ending === undefined) throw new Violation('no-start', `the service did not start: ${this.describe()}`)
    this.url = /http:\S+/.exec(line?.msg ?? '')?.[0] ?? ''
  }

  async breakDisk (fault: DiskFault): Promise<void> {
    if (fault.kill !== undefined) {
      this.mayDie = true
    } else {
      this.#isDiskBroken = true
      this.#diskFaults++
    }
    await this.#order({ order: 'break', fault })
  }

  async mendDisk (): Promise<void> {
    await this.#order({ order: 'mend' })
    this.#isDiskBroken = false
  }

  /** Looks at its memory. */
  async report (): Promise<void> {
    await this.#order({ order: 'report' })
  }

  async kill (): Promise<void> {
    this.ending = 'killed'
    this.#child.kill('SIGKILL')
    await this.exited
  }

  terminate (): void {
    this.ending ??= 'stopped'
    this.#child.kill('SIGTERM')
  }

  /** The first line that fits, past or to come; undefined where the process ends, or so many milliseconds are over, before. */
  async until (fits: (line: LogLine) => boolean, limitMs: number): Promise<LogLine | undefined> {
    const end = Date.now() + limitMs
    for (;;) {
      const found = this.lines.find(fits)
      if (found !== undefined || this.hasExited || Date.now() >= end) return found
      await this.#change(end - Date.now())
    }
  }

  describe (): string {
    return [...this.output, ...this.lines.slice(-5).map(line => JSON.stringify(line))].join('\n')
  }

  async #change (limitMs: number): Promise<void> {
    await new Promise<void>(resolve => {
      const timer = setTimeout(wake, limitMs)
      const watchers = this.#watchers
      function wake (): void {
        clearTimeout(timer)
        watchers.delete(wake)
        resolve()
      }
      watchers.add(wake)
    })
  }

  #wake (): void {
    for (const wake of [...this.#watchers]) wake()
  }

  #take (text: string): void {
    try {
      this.lines.push(JSON.parse(text))
    } catch {
      this.output.push(text)
    }
    this.#wake()
  }

  /** Resolves when it was obeyed, or there is nobody to obey any more. */
  async #order (order: Order): Promise<void> {
    if (this.hasExited || !this.#child.connected) return
    const answered = new Promise<void>(resolve => {
      this.#child.once('message', (report: Report) => {
        this.peakRss = Math.max(this.peakRss, report.peakRss)
        resolve()
      })
    })
    this.#child.send(order, () => {})
    await Promise.race([answered, this.exited])
  }
}
