import fs from 'node:fs'
import { isIPv6 } from 'node:net'
import type { Socket } from 'node:net'
import { setImmediate as othersRun } from 'node:timers/promises'

const KEEP_MS = 200
const SLICE_BYTES = 32_768 // 32 KiB, about 200 sockets and a millisecond

// Shared for a moment, as hundreds of requests may ask at once when B2 stands still.
let snapshot: Promise<Map<string, number>> | undefined

/**
 * Bytes of a TCP socket that the kernel took and the peer has not acknowledged yet. Up to some MiB are there, which no
 * API of Node's shows; Linux lists them in /proc/net/tcp (proc(5), the column tx_queue). Undefined elsewhere.
 */
export async function unacknowledgedBytes (socket: Socket): Promise<number | undefined> {
  if (snapshot === undefined) {
    snapshot = readQueues()
    setTimeout(() => { snapshot = undefined }, KEEP_MS).unref()
  }
  return (await snapshot).get(nameOf(socket))
}

/**
 * Bytes of all that was written to each socket that its peer has acknowledged by now; undefined for one that the kernel does not
 * list. Never too many: the queues are read anew, and after what the kernel took is counted. Not on Linux, it is what the kernel took.
 */
export async function arrivedBytes (sockets: readonly Socket[]): Promise<(number | undefined)[]> {
  const taken = sockets.map(handedOver)
  const queues = await readQueues()
  return sockets.map((socket, index) => {
    const queued = queues.size === 0 ? 0 : queues.get(nameOf(socket))
    return queued === undefined ? undefined : taken[index]! - queued
  })
}

function nameOf (socket: Socket): string {
  return `${socket.localPort}>${hexOf(socket.remoteAddress)}:${socket.remotePort}`
}

interface WriteQueue { _handle?: { writeQueueSize?: number } | null }

/**
 * Bytes of all that was written to a socket which the kernel took. The rest is queued in the process; the size of that queue is
 * what net's own idle timer looks at, too. Without it whole slices count when they are handed over.
 */
export function handedOver (socket: Socket): number {
  return socket.bytesWritten - ((socket as unknown as WriteQueue)._handle?.writeQueueSize ?? 0)
}

/** All sockets' queues. */
async function readQueues (): Promise<Map<string, number>> {
  const queues = new Map<string, number>()
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for await (const line of linesOf(file)) {
      const [, local, remote, , both] = line.trim().split(/\s+/)
      if (local === undefined || remote === undefined || both === undefined) continue
      queues.set(`${portOf(local)}>${addressOf(remote)}:${portOf(remote)}`, Number.parseInt(both, 16)) // up to the colon: tx_queue:rx_queue
    }
  }
  return queues
}

/**
 * The lines of a file of /proc. It is read where the loop runs, a slice at a time: no disk is behind it, and the threads of
 * libuv's pool may all wait for one that hangs just when it must be told whether B2 still moves.
 */
async function * linesOf (file: string): AsyncGenerator<string> {
  let table: number
  try {
    table = fs.openSync(file, 'r')
  } catch {
    return
  }
  try {
    const slice = Buffer.allocUnsafe(SLICE_BYTES)
    let rest = ''
    for (let length; (length = fs.readSync(table, slice, 0, SLICE_BYTES, null)) > 0;) {
      const lines = (rest + slice.toString('latin1', 0, length)).split('\n')
      rest = lines.pop()!
      yield * lines
      await othersRun()
    }
  } catch {
    // What is not told is not known.
  } finally {
    fs.closeSync(table)
  }
}

function addressOf (address: string): string {
  return address.slice(0, address.lastIndexOf(':'))
}

/** An address as the kernel lists it: hexadecimal, four bytes at a time, each four of them backwards (on all machines that Node runs on). */
function hexOf (address = ''): string {
  const plain = address.split('%', 1)[0]!
  const bytes = isIPv6(plain) ? bytesOfIPv6(plain) : plain.split('.').map(Number)
  const words = []
  for (let at = 0; at < bytes.length; at += 4) words.push(...bytes.slice(at, at + 4).reverse())
  return Buffer.from(words).toString('hex').toUpperCase()
}

function bytesOfIPv6 (address: string): number[] {
  // An IPv4 address at the end stands for two groups.
  const [head = '', tail] = address.replace(/[\d.]+\.\d+$/, ipv4 => {
    const [a = 0, b = 0, c = 0, d = 0] = ipv4.split('.').map(Number)
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
  }).split('::')
  const groups = (text: string): number[] => text === '' ? [] : text.split(':').map(group => Number.parseInt(group, 16))
  const [before, after] = [groups(head), groups(tail ?? '')]
  return [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after].flatMap(group => [group >> 8, group & 255])
}

function portOf (address: string): number {
  return Number.parseInt(address.slice(address.lastIndexOf(':') + 1), 16)
}
