import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { swiftConfig } from './swift-config.ts'
import type { SwiftPorts } from './swift-config.ts'

/** OpenStack Swift with its S3 API, on loopback and for one test run. It has no bucket yet. */
export interface Swift {
  readonly endpoint: string
  readonly region: string
  readonly credentials: { readonly accessKeyId: string, readonly secretAccessKey: string }
  /** Ids of the processes that run at this moment. */
  readonly pids: number[]
  /** Kills the server that clients talk to: open connections break, new ones are refused. The data stays. */
  kill (): Promise<void>
  /** Starts that server again, on the same port. */
  revive (): Promise<void>
  /** Lets that server stand still: connections are taken, and nothing is answered. */
  freeze (): void
  thaw (): void
  /** Ends all of it and removes the data. */
  stop (): Promise<void>
}

const PYTHON = '/usr/bin/python3' // Debian's own, which has Debian's packages
const SCRIPT = fileURLToPath(new URL('./swift-server.py', import.meta.url))
const SERVERS = ['memcached', 'object', 'container', 'account', 'proxy'] as const
const LONGEST_START_MS = 60_000

/** What of Swift is not installed; empty where it can be started. */
export function missingForSwift (): string[] {
  const files = SERVERS.map(name => name === 'memcached' ? '/usr/bin/memcached' : `/usr/bin/swift-${name}-server`)
  return [PYTHON, ...files].filter(file => !existsSync(file))
}

/** @throws {Error} with the last words of the server that did not start. */
export async function startSwift (): Promise<Swift> {
  const directory = await mkdtemp(join(tmpdir(), 'swift-'))
  const region = 'us-west-004'
  const credentials = { accessKeyId: 'contract:writer', secretAccessKey: 'secret-of-a-test-run-00000000' }
  const user = userInfo().username
  const ports = await freePorts()
  const running = new Map<string, ChildProcess>()

  async function run (task: keyof SwiftPorts | 'rings', ...more: (number | string)[]): Promise<ChildProcess> {
    const log = await open(join(directory, `${task}.log`), 'a')
    const child = spawn(PYTHON, ['-I', SCRIPT, String(process.pid), directory, task, ...more.map(String)], { stdio: ['ignore', log.fd, log.fd] })
    await log.close()
    return child
  }

  async function start (name: keyof SwiftPorts): Promise<void> {
    const child = await (name === 'memcached' ? run(name, ports.memcached, user) : run(name))
    running.set(name, child)
    for (const end = Date.now() + LONGEST_START_MS; !await answers(ports[name]); await wait(20)) {
      if (child.exitCode !== null || child.signalCode !== null || Date.now() > end) throw new Error(`Swift's ${name} server did not start: ${await lastWords(name)}`)
    }
  }

  async function lastWords (task: string): Promise<string> {
    return (await readFile(join(directory, `${task}.log`), 'utf8')).trim().slice(-1_000)
  }

  async function end (name: string): Promise<void> {
    const child = running.get(name)
    if (child === undefined) return
    running.delete(name)
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL') // also ends one that stands still
    await ended
  }

  async function stop (): Promise<void> {
    for (const name of [...running.keys()]) await end(name)
    await rm(directory, { recursive: true, force: true })
  }

  try {
    await mkdir(join(directory, 'disks', 'disk'), { recursive: true })
    const files = swiftConfig({ ports, directory, region, user, ...credentials })
    for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text)
    const [code] = await once(await run('rings', ports.object, ports.container, ports.account), 'exit')
    if (code !== 0) throw new Error(`Swift's rings could not be made: ${await lastWords('rings')}`)
    await Promise.all(SERVERS.map(start))
  } catch (error) {
    await stop()
    throw error
  }

  return {
    endpoint: `http://127.0.0.1:${ports.proxy}`,
    region,
    credentials,
    get pids () { return [...running.values()].map(({ pid }) => pid!) },
    kill: async () => await end('proxy'),
    revive: async () => await start('proxy'),
    freeze () { running.get('proxy')!.kill('SIGSTOP') },
    thaw () { running.get('proxy')!.kill('SIGCONT') },
    stop,
  }
}

async function freePorts (): Promise<SwiftPorts> {
  const ports = new Set<number>()
  while (ports.size < SERVERS.length) {
    // Below those that outgoing connections get, so that none of these takes it while the server is down.
    const port = 16_384 + Math.floor(Math.random() * 16_384)
    if (!await answers(port)) ports.add(port)
  }
  const [proxy, object, container, account, memcached] = [...ports] as [number, number, number, number, number]
  return { proxy, object, container, account, memcached }
}

async function answers (port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  const isOpen = await once(socket, 'connect').then(() => true, () => false)
  socket.destroy()
  return isOpen
}
