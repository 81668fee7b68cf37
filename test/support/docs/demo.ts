import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))

export interface Demo {
  /** Base URL of the service. */
  readonly url: string
  /** Commands that it printed, in order. */
  readonly commands: string[]
  /** Sends a signal and gives the exit code. */
  end (signal: NodeJS.Signals): Promise<number | null>
}

/** What a process of the project prints, as it comes. */
export interface Output {
  /** Resolves with the first match, past or future; rejects when the output ends without one. */
  until (pattern: RegExp): Promise<RegExpExecArray>
}

export function outputOf (child: ChildProcess): Output {
  let text = ''
  let ended = false
  const looks = new Set<() => void>()
  const look = (): void => { for (const each of looks) each() }
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      look()
    })
  }
  child.once('close', () => {
    ended = true
    look()
  })
  return {
    until: pattern => new Promise((resolve, reject) => {
      const each = (): void => {
        const match = pattern.exec(text)
        if (match === null && !ended) return
        looks.delete(each)
        if (match === null) reject(new Error(`The process ended without ${pattern}. It printed:\n${text}`))
        else resolve(match)
      }
      looks.add(each)
      each()
    }),
  }
}

/** `npm run demo` without npm; ended with the test, where it has not ended before. */
export async function startDemo (t: Test, env: Record<string, string> = {}): Promise<Demo> {
  const child = spawn(process.execPath, ['--import=tsx', 'scripts/demo.ts'], {
    cwd: ROOT,
    env: { ...process.env, PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGTERM') // it removes its files then
    await exited
  })
  const output = outputOf(child)
  await output.until(/The service's log follows/)
  const [, url] = await output.until(/listens at (http:[^\s,]+)[\s,]/)
  const [, text] = await output.until(/^([\s\S]*)The service's log follows/)
  return {
    url: url!,
    commands: text!.split('\n').filter(line => line.startsWith('  curl ')).map(line => line.trim()),
    async end (signal) {
      child.kill(signal)
      const [code] = await exited
      return code
    },
  }
}
