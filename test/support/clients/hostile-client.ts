import { once } from 'node:events'
import net from 'node:net'
import type { Socket } from 'node:net'
import { answersIn } from '../run/fuzz.ts'
import type { RawAnswer } from './raw-http.ts'
import type { HostileRequest } from './hostile-requests.ts'

/** A client that keeps its connection for as long as the service lets it. */
export class HostileClient {
  readonly #address: { readonly host: string, readonly port: number }
  #socket: Socket | undefined
  #received = Buffer.alloc(0)
  #isOver = false
  #wake: () => void = () => {}

  constructor (url: string) {
    const { hostname, port } = new URL(url)
    this.#address = { host: hostname, port: Number(port) }
  }

  /** Sends a request; what it is answered, which may be nothing. Throws for what is not HTTP. */
  async send ({ bytes, then, isHead = false }: HostileRequest): Promise<RawAnswer[]> {
    const socket = await this.#connection()
    if (then === 'leave') {
      socket.write(bytes, () => socket.destroy())
      await once(socket, 'close')
      return []
    }
    if (then === 'wait') socket.write(bytes)
    else socket.end(bytes)
    for (;;) {
      const length = then === 'wait' ? this.#firstLength(isHead) : undefined
      if (length !== undefined || this.#isOver) return this.#take(length ?? this.#received.byteLength, isHead)
      await new Promise<void>(resolve => { this.#wake = resolve })
    }
  }

  close (): void {
    this.#socket?.destroy()
  }

  async #connection (): Promise<Socket> {
    if (this.#socket !== undefined && !this.#isOver) return this.#socket
    this.#socket?.destroy()
    const socket = net.connect({ ...this.#address, allowHalfOpen: true, noDelay: true })
    this.#socket = socket
    this.#received = Buffer.alloc(0)
    this.#isOver = false
    const over = (): void => {
      if (this.#socket !== socket) return
      this.#isOver = true
      this.#wake()
    }
    socket.on('data', chunk => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake()
    })
    socket.on('error', () => {}) // what came before it counts
    socket.on('end', () => {
      socket.end()
      over()
    })
    socket.on('close', over)
    await once(socket, 'connect')
    return socket
  }

  /** Bytes of the first whole answer. */
  #firstLength (isHead: boolean): number | undefined {
    const end = this.#received.indexOf('\r\n\r\n')
    if (end === -1) return undefined
    const head = this.#received.toString('latin1', 0, end)
    const length = end + 4 + (isHead ? 0 : lengthIn(head))
    return this.#received.byteLength >= length ? length : undefined
  }

  #take (length: number, isHead: boolean): RawAnswer[] {
    const bytes = this.#received.subarray(0, length)
    this.#received = this.#received.subarray(length)
    // The body that the answer to HEAD tells of. What could not be read is answered with one, whatever it was.
    const isBare = isHead && bytes.indexOf('\r\n\r\n') + 4 === bytes.byteLength
    const answers = answersIn(isBare ? Buffer.concat([bytes, Buffer.alloc(lengthIn(bytes.toString('latin1')))]) : bytes)
    if (answers.some(({ headers }) => headers.get('connection') === 'close')) this.#isOver = true
    return answers
  }
}

/** Bytes of the body that follows a head. */
function lengthIn (head: string): number {
  return head.startsWith('HTTP/1.1 304') ? 0 : Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0)
}
