import { once } from 'node:events'
import net from 'node:net'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import type { B2Emulator } from '../../../emulator/index.ts'

export interface CountingProxy {
  /** To be used instead of the emulator's. */
  readonly endpoint: string
  /** Bytes that came from B2 over each connection, in the order in which they were opened. */
  readonly received: readonly number[]
}

/** Stands between a service and the emulator, passing on no more than is taken; it ends with the test. */
export async function startCountingProxy (t: Test, b2: B2Emulator): Promise<CountingProxy> {
  const received: number[] = []
  const open = new Set<net.Socket>()
  const server = net.createServer(service => {
    const index = received.push(0) - 1
    const upstream = net.connect(b2.port, b2.host)
    upstream.on('data', (chunk: Buffer) => { received[index]! += chunk.byteLength })
    for (const [socket, other] of [[service, upstream], [upstream, service]] as const) {
      open.add(socket)
      socket.on('error', () => {}).on('close', () => {
        open.delete(socket)
        other.destroy()
      })
      socket.pipe(other)
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of open) socket.destroy()
  })
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received }
}
