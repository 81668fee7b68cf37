import { ChildProcess } from 'node:child_process'
import { subscribe } from 'node:diagnostics_channel'
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { format } from 'node:util'
import { findSecret, learnFromEnv, learnFromHeader, withoutSecret } from './secrets.ts'

// Looks at all that a test process and the processes that it starts write, and fails the test where a secret is in it. It is
// loaded before the tests, and asks nothing of them.

const LONGEST_LINE = 65_536

/** Fails the test that runs where there is a secret in the text; true then. */
export function lookAt (text: string, where: string): boolean {
  const secret = findSecret(text)
  if (secret === undefined) return false
  const error = new Error(`There is ${secret.kind} in ${where}: ${withoutSecret(text, secret)}`)
  // Not here: who writes may catch it.
  process.nextTick(() => { throw error })
  return true
}

subscribe('http.server.request.start', message => {
  const { headers } = (message as { request: IncomingMessage }).request
  learnFromHeader(headers.authorization)
  learnFromHeader(headers['proxy-authorization'])
})

// Each line of each logger, wherever it goes.
subscribe('tracing:pino_asJson:end', message => { lookAt((message as { result: string }).result, 'a line of the log') })

const { write } = process.stderr
process.stderr.write = (...args: unknown[]) => {
  lookAt(asText(args[0]), 'what is written to standard error')
  return Reflect.apply(write, process.stderr, args) as boolean
}

// Not all of standard output: the names of assertions go there, too, and may say what a test sends.
for (const name of ['log', 'info', 'debug', 'dir', 'table'] as const) {
  const print = console[name]
  console[name] = (...args: unknown[]) => {
    lookAt(format(...args), 'what is printed')
    Reflect.apply(print, console, args)
  }
}

interface Spawning { spawn (options: { envPairs?: readonly string[] }): unknown }

const { spawn } = ChildProcess.prototype as unknown as Spawning
;(ChildProcess.prototype as unknown as Spawning).spawn = function (this: ChildProcess, options) {
  learnFromEnv(Object.fromEntries((options.envPairs ?? []).map(pair => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)])))
  const result = spawn.call(this as never, options)
  for (const stream of [this.stdout, this.stderr]) if (stream instanceof Readable) watch(stream)
  return result
}

/** Looks at what comes, before anybody reads it. */
function watch (stream: Readable): void {
  const push = stream.push
  let line = ''
  stream.push = (chunk: unknown, ...rest) => {
    const text = line + asText(chunk)
    line = lookAt(text, 'what a process writes') ? '' : text.slice(Math.max(text.lastIndexOf('\n') + 1, text.length - LONGEST_LINE))
    return push.call(stream, chunk, ...rest)
  }
}

function asText (chunk: unknown): string {
  return typeof chunk === 'string' ? chunk : chunk instanceof Uint8Array ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString() : ''
}
