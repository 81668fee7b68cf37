import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
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

/** What Linux tells of TCP connections. */
export function fakeSocketTables (t: Test): SocketTables {
  const tables: SocketTables = { tcp: [], tcp6: [], reads: [] }
  t.intercept(fs, 'readFile', {
    value: async (path: string) => {
      tables.reads.push(path)
      const lines = path === '/proc/net/tcp' ? tables.tcp : path === '/proc/net/tcp6' ? tables.tcp6 : undefined
      if (lines === undefined) throw Object.assign(new Error('ENOENT'), { code: 'ENOENT' })
      return [HEADER, ...lines, ''].join('\n')
    },
  })
  syncBuiltinESMExports()
  t.teardown(() => { setImmediate(syncBuiltinESMExports) })
  return tables
}
