import { readFile } from 'node:fs/promises'
import type { Socket } from 'node:net'

const KEEP_MS = 200

let snapshot: Promise<Map<string, number>> | undefined

/**
 * Bytes of a TCP socket that the kernel took and the peer has not acknowledged yet. Up to some MiB are there, which no
 * API of Node's shows; Linux lists them in /proc/net/tcp (proc(5), the column tx_queue). Undefined elsewhere.
 */
export async function unacknowledgedBytes (socket: Socket): Promise<number | undefined> {
  snapshot ??= readQueues()
  return (await snapshot).get(`${socket.localPort}>${socket.remotePort}`)
}

/** All sockets' queues; shared for a moment, as hundreds of requests may ask at once when B2 stands still. */
async function readQueues (): Promise<Map<string, number>> {
  setTimeout(() => { snapshot = undefined }, KEEP_MS).unref()
  const queues = new Map<string, number>()
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6']) {
    const table = await readFile(file, 'latin1').catch(() => '')
    for (const line of table.split('\n').slice(1)) {
      const [, local, remote, , both] = line.trim().split(/\s+/)
      if (local === undefined || remote === undefined || both === undefined) continue
      queues.set(`${portOf(local)}>${portOf(remote)}`, Number.parseInt(both, 16)) // up to the colon: tx_queue:rx_queue
    }
  }
  return queues
}

function portOf (address: string): number {
  return Number.parseInt(address.slice(address.lastIndexOf(':') + 1), 16)
}
