import http from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { contentOf } from './content.ts'
import type { Upload } from '../script.ts'

/** How a request ended for its client. */
export type Outcome =
  | { readonly kind: 'answered', readonly status: number, readonly headers: http.IncomingHttpHeaders, readonly body: Buffer, readonly isWhole: boolean }
  /** The connection ended before the answer. */
  | { readonly kind: 'lost', readonly code: string, readonly wasConnected: boolean }
  /** The client went. */
  | { readonly kind: 'left', readonly sent: number }

export interface UploadRun {
  readonly outcome: Promise<Outcome>
  leave (): void
}

const BOUNDARY = 'campaign-boundary-0123456789'
const PIECE_BYTES = 65_536 // 64 KiB

/** Name of an upload's file; it tells which one it is wherever the file turns up. */
export function filenameOf (id: string): string {
  return `${id}.bin`
}

/** The text fields of an upload, as its receipt must have them. */
export function fieldsOf ({ fields = [] }: Upload): Record<string, string> {
  return Object.fromEntries(fields.map((length, index) => [`field_${index}`, 'ü"%'.repeat(length).slice(0, length)]))
}

/** The bytes of the request, in pieces. */
export function bodyOf (upload: Upload): readonly Buffer[] {
  const content = contentOf(upload.id, upload.size)
  if (upload.method === 'PUT') return content
  const fields = Object.entries(fieldsOf(upload)).map(([name, value]) =>
    `--${BOUNDARY}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`)
  const half = Math.floor(fields.length / 2)
  const head = `${fields.slice(0, half).join('')}--${BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="${filenameOf(upload.id)}"\r\n` +
    'content-type: application/octet-stream\r\n\r\n'
  return [Buffer.from(head), ...content, Buffer.from(`\r\n${fields.slice(half).join('')}--${BOUNDARY}--\r\n`)]
}

export function lengthOf (pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, { byteLength }) => sum + byteLength, 0)
}

/** Begins an upload. Its outcome never rejects. */
export function startUpload (url: string, upload: Upload, onSent: (bytes: number) => void): UploadRun {
  const body = bodyOf(upload)
  const isForm = upload.method === 'POST'
  const request = http.request(`${url}/uploads${isForm ? '' : `/${filenameOf(upload.id)}`}`, {
    method: upload.method,
    agent: false,
    headers: {
      'content-type': isForm ? `multipart/form-data; boundary=${BOUNDARY}` : 'application/octet-stream',
      'x-correlation-id': upload.id,
      ...(upload.announced ? { 'content-length': lengthOf(body) } : { 'transfer-encoding': 'chunked' }),
    },
  })
  let sent = 0
  let hasLeft = false
  const outcome = outcomeOf(request, () => hasLeft ? { kind: 'left', sent } : undefined)
  const leave = (): void => {
    hasLeft = true
    request.destroy()
  }
  const isOver = (): boolean => hasLeft || request.destroyed || request.closed
  request.flushHeaders()
  send().catch(() => {})
  return { outcome, leave }

  async function send (): Promise<void> {
    const { pace, leave: leaveAt } = upload
    const limit = typeof leaveAt === 'number' ? leaveAt : Infinity
    const stop = pace.kind === 'stall' ? pace.at : Infinity
    for (const piece of body) {
      for (let start = 0; start < piece.byteLength;) {
        const most = pace.kind === 'trickle' ? pace.bytes : PIECE_BYTES
        const length = Math.min(most, piece.byteLength - start, limit - sent, stop - sent)
        if (length > 0) await write(piece.subarray(start, start + length))
        start += length
        if (sent >= limit && typeof leaveAt === 'number') return leave()
        if (sent >= stop || isOver()) return
        if (pace.kind === 'trickle') await wait(pace.pauseMs)
      }
    }
    if (limit <= sent) leave()
    else if (sent < stop) request.end()
  }

  async function write (bytes: Uint8Array): Promise<void> {
    await new Promise<void>(resolve => {
      const done = (): void => {
        request.off('close', done)
        resolve()
      }
      request.once('close', done)
      request.write(bytes, done)
    })
    sent += bytes.byteLength
    onSent(sent)
  }
}

export interface AskOptions {
  /** The client goes after so many bytes of the answer. */
  readonly leaveAfter?: number
  /** It takes nothing of the answer before. */
  readonly standsUntil?: Promise<void>
}

/** Any other request. Never rejects. */
export async function ask (
  url: string, method: string, path: string, headers: Record<string, string>, { leaveAfter = Infinity, standsUntil }: AskOptions = {}
): Promise<Outcome> {
  const request = http.request(`${url}${path}`, { method, agent: false, headers })
  let isLeaving = false
  const outcome = outcomeOf(request, () => isLeaving ? { kind: 'left', sent: 0 } : undefined, received => {
    if (received < leaveAfter) return
    isLeaving = true
    request.destroy()
  }, standsUntil)
  request.end()
  return await outcome
}

function outcomeOf (
  request: http.ClientRequest, left: () => Outcome | undefined, onData: (received: number) => void = () => {}, standsUntil?: Promise<void>
): Promise<Outcome> {
  return new Promise(resolve => {
    let wasConnected = false
    let answer: { status: number, headers: http.IncomingHttpHeaders, response: http.IncomingMessage } | undefined
    let code = 'closed'
    let received = 0
    const chunks: Buffer[] = []
    request.on('socket', socket => { socket.on('connect', () => { wasConnected = true }) })
    request.on('response', response => {
      answer = { status: response.statusCode!, headers: response.headers, response }
      const take = (): void => {
        response.on('data', (chunk: Buffer) => {
          chunks.push(chunk)
          onData(received += chunk.byteLength)
        })
      }
      if (standsUntil === undefined) take()
      else standsUntil.then(take, () => {})
      response.on('error', () => {})
      // A client that was answered before it had sent all stops sending.
      response.on('close', () => request.destroy())
    })
    request.on('error', (error: NodeJS.ErrnoException) => { code = error.code ?? error.message })
    request.on('close', () => {
      if (answer !== undefined && left() === undefined) {
        const { status, headers, response } = answer
        const body = Buffer.concat(chunks)
        // Who stands may be cut off with the whole answer in the system's buffers.
        const isCut = body.byteLength < Number(headers['content-length'] ?? 0)
        resolve({ kind: 'answered', status, headers, body, isWhole: response.complete && !isCut })
      } else {
        resolve(left() ?? { kind: 'lost', code, wasConnected })
      }
    })
  })
}
