import { randomBytes } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { DECLARATION } from './xml.ts'
import type { Answer } from './answer.ts'
import type { Pacer } from '../faults/pace.ts'

/** Time for a client to read an early answer before its connection is destroyed. */
const LINGER_MS = 250

function commonHeaders (): Record<string, string> {
  return {
    'x-amz-request-id': randomBytes(8).toString('hex'),
    'x-amz-id-2': randomBytes(24).toString('base64'),
  }
}

export interface SendOptions {
  pacer: Pacer
  gone: AbortSignal
  /** Close the connection after this many bytes of the body. */
  cutAt?: number | undefined
}

function drained (response: ServerResponse, gone: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done)
      gone.removeEventListener('abort', done)
      resolve()
    }
    response.once('drain', done)
    gone.addEventListener('abort', done)
  })
}

async function writeBody (response: ServerResponse, body: readonly Buffer[], until: number, { pacer, gone }: SendOptions): Promise<void> {
  let left = until
  for (const chunk of body) {
    for (let offset = 0; offset < chunk.length && left > 0;) {
      const slice = chunk.subarray(offset, offset + Math.min(pacer.sliceBytes(), left))
      offset += slice.length
      left -= slice.length
      if (!await pacer.passed(slice.length)) return
      if (!response.write(slice)) await drained(response, gone)
      if (gone.aborted) return
    }
  }
}

/** Sends an answer with B2's common headers, at the pacer's rate; resolves when it is sent or the client is gone. */
export async function sendAnswer (response: ServerResponse, answer: Answer, options: SendOptions): Promise<void> {
  if (options.gone.aborted) return
  const hasLength = answer.status !== 204 && answer.status !== 304
  response.writeHead(answer.status, {
    ...commonHeaders(),
    ...(hasLength ? { 'content-length': String(answer.size) } : {}),
    ...answer.headers,
  })
  const [only] = answer.body
  if (options.cutAt === undefined && answer.body.length <= 1 && (only?.length ?? 0) <= options.pacer.sliceBytes()) {
    response.end(only)
    return
  }
  if (options.cutAt === undefined) {
    await writeBody(response, answer.body, Infinity, options)
    if (!options.gone.aborted) response.end()
    return
  }
  response.flushHeaders()
  await writeBody(response, answer.body, options.cutAt, options)
  response.socket?.destroySoon()
}

/** An XML answer that has begun before it is known: spaces, then the document. */
export function createSpaceAnswer (response: ServerResponse, declarationFirst: boolean): { write (): void, end (answer: Answer): void } {
  response.writeHead(200, { ...commonHeaders(), 'content-type': 'application/xml' })
  if (declarationFirst) response.write(DECLARATION)
  else response.flushHeaders()
  return {
    write () { response.write(' ') },
    end ({ body }) {
      const document = Buffer.concat(body).toString()
      response.end(declarationFirst ? document.replace(DECLARATION, '') : document)
    },
  }
}

/** Answers around the HTTP server, which would wait for the body, and closes. */
export function sendEarly (socket: Socket, answer: Answer, isHead: boolean): void {
  const headers = {
    ...commonHeaders(),
    date: new Date().toUTCString(),
    'content-length': String(answer.size),
    connection: 'close',
    ...answer.headers,
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')
  const head = `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status] ?? ''}\r\n${lines}\r\n`
  socket.write(head)
  linger(socket, isHead ? Buffer.alloc(0) : Buffer.concat(answer.body))
}

/** Answers with bytes that no HTTP parser accepts, and closes. */
export function sendGarbage (socket: Socket): void {
  linger(socket, Buffer.from('\u0016\u0003 this is no HTTP\r\n\r\n'))
}

function linger (socket: Socket, last: Buffer): void {
  socket.end(last)
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
}
