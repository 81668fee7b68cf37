import { once } from 'node:events'
import net from 'node:net'
import { BOUNDARY, fieldPart, filePart, form } from '../forms/forms.ts'
import type { TestService } from '../service/service.ts'

/** Numbers in [0, 1) that are the same in every run (mulberry32). */
export function seeded (seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

export type Method = 'PUT' | 'POST'

/** What a client of that method sends for a file: the file itself, or a form around it. */
export function bodyOf (method: Method, content: Uint8Array): Uint8Array {
  return method === 'PUT' ? content : form(fieldPart('before', 'x'), filePart(content), fieldPart('after', 'y'))
}

/** Begins an upload; resolves when the service has its head and nothing of its body. */
export async function begin ({ url }: Pick<TestService, 'url'>, method: Method, body: Uint8Array): Promise<net.Socket> {
  const { hostname, port } = new URL(url)
  const socket = net.connect({ host: hostname, port: Number(port) })
  socket.on('error', () => {})
  const type = method === 'PUT' ? 'application/octet-stream' : `multipart/form-data; boundary=${BOUNDARY}`
  const path = method === 'PUT' ? '/uploads/a.bin' : '/uploads'
  socket.write(`${method} ${path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-type: ${type}\r\ncontent-length: ${body.byteLength}\r\n\r\n`)
  await once(socket, 'data') // 100 Continue
  return socket
}

/** Sends some bytes; resolves when they have left this process. */
export async function send (socket: net.Socket, bytes: Uint8Array): Promise<void> {
  await new Promise<void>(resolve => {
    socket.once('close', () => resolve())
    socket.write(bytes, () => resolve())
  })
}
