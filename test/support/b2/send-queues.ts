import fs from 'node:fs'
import type { Test } from 'tap'

const HEADER = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode'

/** A line of /proc/net/tcp for a connection between two ports of 127.0.0.1. */
export function tcpLine (localPort: number, remotePort: number, sendQueue: number, receiveQueue = 0): string {
  const hex = (value: number, length: number): string => value.toString(16).toUpperCase().padStart(length, '0')
  const addresses = [localPort, remotePort].map(port => `0100007F:${hex(port, 4)}`).join(' ')
  return `   0: ${addresses} 01 ${hex(sendQueue, 8)}:${hex(receiveQueue, 8)} 00:00000000 00000000  1000        0 12345 1 0000000000000000 20 4 30 10 -1`
}

/** Lines of the tables of sockets under the test's control until it ends; undefined where there is no such table. */
export interface SocketTables {
  tcp: string[] | undefined
  tcp6: string[] | undefined
  /** The files that were read. */
  readonly reads: string[]
}

/** What Linux tells of TCP connections, so many bytes at a time. */
export function fakeSocketTables (t: Test, sliceBytes = 100): SocketTables {
  const tables: SocketTables = { tcp: [], tcp6: [], reads: [] }
  const { openSync, readSync, closeSync } = fs
  const open = new Map<number, string>()
  let last = -1_000
  t.intercept(fs, 'openSync', {
    value: (path: string, flags: string) => {
      if (!/^\/proc\/net\/tcp6?$/.test(path)) return openSync(path, flags)
      tables.reads.push(path)
      const lines = path === '/proc/net/tcp' ? tables.tcp : tables.tcp6
      if (lines === undefined) throw Object.assign(new Error('ENOENT'), { code: 'ENOENT' })
      open.set(--last, [HEADER, ...lines, ''].join('\n'))
      return last
    },
  })
  t.intercept(fs, 'readSync', {
    value: (table: number, buffer: Buffer, offset: number, length: number, position: null) => {
      const text = open.get(table)
      if (text === undefined) return readSync(table, buffer, offset, length, position)
      // Less than is asked for, and not at the end of a line, as the kernel may.
      const bytes = buffer.write(text.slice(0, Math.min(length, sliceBytes)), offset, 'latin1')
      open.set(table, text.slice(bytes))
      return bytes
    },
  })
  t.intercept(fs, 'closeSync', {
    value: (table: number) => {
      if (!open.delete(table)) closeSync(table)
    },
  })
  return tables
}
