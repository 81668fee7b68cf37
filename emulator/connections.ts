import { once } from 'node:events'
import type { Server } from 'node:http'
import type { Socket } from 'node:net'

function addressOf (socket: Socket): string {
  return `${socket.remoteAddress}|${socket.remotePort}`
}

/** The TCP connections of a server, also underneath TLS. */
export class Connections {
  readonly #open = new Map<Socket, { address: string, id: number }>()
  #count = 0

  constructor (server: Server) {
    // An https server emits the TCP socket here, before the handshake.
    server.on('connection', (socket: Socket) => {
      this.#count += 1
      this.#open.set(socket, { address: addressOf(socket), id: this.#count })
      // A client may reset at any moment; the close that follows is all that matters.
      socket.on('error', () => {})
      socket.once('close', () => this.#open.delete(socket))
    })
  }

  get size (): number {
    return this.#open.size
  }

  #find (socket: Socket): [Socket, { id: number }] | undefined {
    const own = this.#open.get(socket)
    if (own !== undefined) return [socket, own]
    const address = addressOf(socket)
    return [...this.#open].find(([, known]) => known.address === address)
  }

  /** Number of the connection of a request's socket (TLS or not); 0 if it is gone already. */
  idOf (socket: Socket): number {
    return this.#find(socket)?.[1].id ?? 0
  }

  /** Sends RST instead of FIN. */
  reset (socket: Socket): void {
    const tcp = this.#find(socket)?.[0]
    try {
      tcp?.resetAndDestroy()
    } catch {
      // Under TLS the handle may belong to the TLS socket; then an abrupt close has to do.
    }
    socket.destroy()
  }

  /** Resolves when the last one has closed. */
  async destroyAll (): Promise<void> {
    await Promise.all([...this.#open.keys()].map(async (socket) => {
      const closed = once(socket, 'close')
      socket.destroy()
      await closed
    }))
  }
}
