import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import type { Test } from 'tap'

export interface ScriptedServer {
  readonly port: number
  /** Connections, in the order in which they came. */
  readonly sockets: Socket[]
  /** What each connection got. */
  readonly received: string[]
}

/** A TCP server that ends with the test. `onData` is called with all that a connection got so far, and its number. */
export async function startScriptedServer (t: Test, onData: (socket: Socket, received: string, connection: number) => void): Promise<ScriptedServer> {
  const sockets: Socket[] = []
  const received: string[] = []
  const server = createServer(socket => {
    const connection = sockets.push(socket) - 1
    received.push('')
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      received[connection] += chunk.toString('latin1')
      onData(socket, received[connection]!, connection)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, sockets, received }
}
