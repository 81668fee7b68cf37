import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import type { Test } from 'tap'
import { bundle } from '../../../scripts/bundle.ts'
import { filesBelow } from './service.ts'
import type { LogLine } from './service.ts'

const LISTENING = /^Server listening at (http:\/\/127\.0\.0\.1:\d+)$/

/** The service as `npm start` runs it, in a process of its own. */
export interface ServerProcess {
  readonly child: ChildProcess
  /** What it logged so far. */
  readonly lines: readonly LogLine[]
  /** Its local directory, where nothing else is configured. */
  readonly dir: string
  /** Its exit code; null where a signal ended it. */
  readonly exited: Promise<number | null>
  stderr (): string
  /** Resolves with the first line that fits, past or future. */
  line (fits: (line: LogLine) => boolean): Promise<LogLine>
  /** Base URL, once it listens. */
  url (): Promise<string>
  localFiles (): Promise<string[]>
}

export interface ServerProcessOptions {
  /** A module that is loaded before the service, by its path from the project's root; it can be sent messages. */
  readonly preload?: string
  /** Working directory, where an earlier process had one. Default: an empty one, so that no .env file is found. */
  readonly cwd?: string
}

/** Starts it; it ends with the test. */
export function runServer (t: Test, env: Record<string, string> = {}, { preload, cwd = t.testdir() }: ServerProcessOptions = {}): ServerProcess {
  const preloads = preload === undefined ? [] : [`--import=${pathToFileURL(bundle(preload)).href}`]
  const child = spawn(process.execPath, [...preloads, bundle('server.ts')], {
    cwd,
    env: { PATH: process.env['PATH'], NODE_NO_WARNINGS: '1', PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe', ...(preload === undefined ? [] : ['ipc' as const])],
  })
  t.teardown(() => { child.kill('SIGKILL') })
  const lines: LogLine[] = []
  const looks = new Set<() => void>()
  const look = (): void => { for (const each of looks) each() }
  let stderr = ''
  createInterface(child.stdout!).on('line', text => {
    lines.push(JSON.parse(text) as LogLine)
    look()
  })
  child.stderr!.on('data', chunk => { stderr += chunk })
  const exited = once(child, 'close').then(([code]) => {
    look()
    return code as number | null
  })

  async function line (fits: (line: LogLine) => boolean): Promise<LogLine> {
    for (;;) {
      const found = lines.find(fits)
      if (found !== undefined) return found
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`It ended (${child.exitCode ?? child.signalCode}) before the line came: ${JSON.stringify(lines)} ${stderr}`)
      await new Promise<void>(resolve => {
        const each = (): void => {
          looks.delete(each)
          resolve()
        }
        looks.add(each)
      })
    }
  }

  const dir = join(cwd, 'storage')
  return {
    child,
    lines,
    dir,
    exited,
    stderr: () => stderr,
    line,
    url: async () => LISTENING.exec((await line(({ msg }) => LISTENING.test(msg))).msg)![1]!,
    localFiles: () => filesBelow(dir),
  }
}
