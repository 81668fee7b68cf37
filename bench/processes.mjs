import { execFileSync, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { once } from 'node:events'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'

const START_MS = 30_000
const LOG_TAIL_CHARACTERS = 2_000

const running = new Set()

/** The CPU that the measured server has for itself, and the one for all others; undefined if they can't be pinned. */
export const cpus = twoCpus()

function twoCpus () {
  try {
    const shown = execFileSync('taskset', ['-cp', String(process.pid)], { encoding: 'utf8' }).split(':').at(-1)
    const allowed = shown.trim().split(',').flatMap(range => {
      const [first, last = first] = range.split('-').map(Number)
      return Array.from({ length: last - first + 1 }, (_, index) => first + index)
    })
    return allowed.length < 2 ? undefined : { server: allowed[0], others: allowed[1] }
  } catch {
    return undefined
  }
}

/** What a child gets of the environment: nothing that could set up the service or Node itself. */
function environment (extra) {
  const kept = ['PATH', 'HOME', 'TMPDIR', 'LANG']
  return { ...Object.fromEntries(kept.filter(name => name in process.env).map(name => [name, process.env[name]])), ...extra }
}

function startNode (cpu, args, options) {
  // taskset becomes Node: the process id is that of the server.
  const child = cpu === undefined
    ? spawn(process.execPath, args, options)
    : spawn('taskset', ['-c', String(cpu), process.execPath, ...args], options)
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

/**
 * Starts a server and waits until it says where it listens.
 *
 * Its output goes to a file: a pipe would make it wait for whoever reads.
 */
export async function startServer ({ args, env, cwd, logFile }) {
  const log = openSync(logFile, 'w')
  const child = startNode(cpus?.server, args, { cwd, env: environment(env), stdio: ['ignore', log, log] })
  closeSync(log)
  for (const until = performance.now() + START_MS; performance.now() < until;) {
    const text = readFileSync(logFile, 'utf8')
    const port = /listening at http:\/\/127\.0\.0\.1:(\d+)\D/.exec(text)?.[1]
    if (port !== undefined) return { child, pid: child.pid, port: Number(port) }
    if (hasEnded(child)) throw new Error(`${args.at(-1)} ended: ${text.slice(-LOG_TAIL_CHARACTERS)}`)
    await sleep(25)
  }
  child.kill('SIGKILL')
  throw new Error(`${args.at(-1)} did not listen in time`)
}

/** Starts one of the helpers, which answer messages; they end with this process, however it ends. */
export function startHelper (file, args = []) {
  return startNode(cpus?.others, [file, ...args], { env: environment({}), stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
}

/** Sends a message to a helper and waits for its answer. */
export async function ask (helper, question) {
  if (hasEnded(helper)) throw new Error(`${helper.spawnargs.at(-1)} has ended`)
  const ended = new AbortController()
  const answered = once(helper, 'message', { signal: ended.signal })
  const exited = once(helper, 'exit', { signal: ended.signal }).then(() => { throw new Error(`${helper.spawnargs.at(-1)} ended`) })
  exited.catch(() => {})
  try {
    helper.send(question, () => {}) // if this fails, the helper has ended
    const [answer] = await Promise.race([answered, exited])
    if (answer.error !== undefined) throw new Error(answer.error)
    return answer
  } finally {
    ended.abort()
  }
}

/** Ends a child; one that takes longer than `graceMs` is killed. */
export async function stop (child, graceMs = 5_000) {
  if (hasEnded(child)) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), graceMs)
  await exited
  clearTimeout(timer)
}

/** Kills whatever still runs. */
export function killAll () {
  for (const child of running) child.kill('SIGKILL')
}

function hasEnded (child) {
  return child.exitCode !== null || child.signalCode !== null
}
