import http from 'node:http'
import https from 'node:https'
import type { Socket } from 'node:net'
import { finished } from 'node:stream'
import { HttpResponse, buildQueryString } from '@smithy/core/protocols'
import type { HttpRequest } from '@smithy/core/protocols'
import type { Movement } from '../line/movement.ts'
import { createNameLookup } from './name-lookup.ts'
import { watchForStall } from './stall-watch.ts'
import type { Turn } from '../line/turns.ts'

/**
 * How a request ended that got no whole answer. `code` is the system's (`ECONNRESET` …), or `B2_CONNECT_TIMEOUT`,
 * `B2_STALLED` or `B2_NO_DOCUMENT`.
 */
export class TransportError extends Error {
  override readonly name = 'TransportError'
  readonly code: string
  /** True where all of the request may have reached B2. */
  readonly wasSent: boolean
  /** True for a request that stores an object and may have done so. */
  readonly outcomeUnknown: boolean

  constructor (message: string, code: string, outcomeUnknown: boolean, cause?: unknown, wasSent = outcomeUnknown) {
    super(message, { cause })
    this.code = code
    this.outcomeUnknown = outcomeUnknown
    this.wasSent = wasSent
  }
}

export interface RequestHandlerOptions {
  /** Milliseconds to connect, TLS included. */
  readonly connectTimeoutMs: number
  /** Milliseconds in which (next to) nothing moved after which a request has stalled. */
  readonly stallTimeoutMs: number
  /** Milliseconds that the answer to CompleteMultipartUpload may take to come, as long as anything comes. Default 5 minutes. */
  readonly longestCompletionMs?: number
}

/** Property of a request, and of what one of its tries failed with, that holds the `AbortSignal` which ends it. */
export const CANCEL_SIGNAL = Symbol('cancel signal')

/** Property of a request that must not go over a connection that was used before. */
export const NEW_CONNECTION = Symbol('new connection')

/**
 * Property of a request whose answer's body is handed over as it comes, where it is a success. Its reader has to read it
 * to its end or destroy it; it fails with a {@link TransportError} where it stalls, with Node's own error where the connection breaks, or as
 * the request would when that is cancelled.
 */
export const STREAMED_ANSWER = Symbol('streamed answer')

/** Property of a request: who is told of what moves. */
export const MOVEMENT = Symbol('movement')

/** Property of a request: the turn in which its body is sent. */
export const TURN = Symbol('turn')

/** What a request can ask of the handler. */
export interface HandlerWishes {
  [CANCEL_SIGNAL]?: AbortSignal
  [NEW_CONNECTION]?: boolean
  [STREAMED_ANSWER]?: boolean
  [MOVEMENT]?: Movement
  [TURN]?: Turn
}

// A whole part given to a TLS socket at once is held a second time, encrypted.
const SLICE_BYTES = 262_144 // 256 KiB
const LARGEST_ANSWER_BYTES = 4_194_304 // 4 MiB
const LONGEST_COMPLETION_MS = 300_000

/**
 * The HTTP side of the SDK client (its supported extension point `requestHandler`). It does what the SDK's own handler
 * can't: tells a stalled request from a slow one by the bytes that move, tells whether a failed request may have been
 * carried out, retries on a new connection as B2 advises, and writes bodies in slices.
 *
 * Answers are read whole, but for those that are to be streamed.
 */
export class B2RequestHandler {
  readonly metadata = { handlerProtocol: 'http/1.1' }
  readonly #options: RequestHandlerOptions
  readonly #agents: Agents
  readonly #freshAgents: Agents

  constructor (options: RequestHandlerOptions) {
    this.#options = options
    // B2 drops idle connections after about five seconds; leaving first avoids writing to one that is being closed.
    const lookup = createNameLookup()
    this.#agents = createAgents({ keepAlive: true, timeout: 4_000, lookup })
    this.#freshAgents = createAgents({ keepAlive: false, lookup })
  }

  /** The SDK hands over its own settings here; this handler has all it needs. */
  updateHttpClientConfig (): void {}

  httpHandlerConfigs (): Record<string, never> { return {} }

  /** Closes every connection. */
  destroy (): void {
    for (const agents of [this.#agents, this.#freshAgents]) {
      agents['http:'].destroy()
      agents['https:'].destroy()
    }
  }

  /** @throws {TransportError} where no whole answer came; an `AbortError` where the request's {@link CANCEL_SIGNAL} fired. */
  handle (request: HttpRequest & HandlerWishes): Promise<{ response: HttpResponse }> {
    const abortSignal = request[CANCEL_SIGNAL]
    return new Promise((resolve, reject) => {
      if (abortSignal?.aborted === true) return reject(abortError())
      const secure = request.protocol === 'https:'
      const query = buildQueryString(request.query)
      const firstTry = /attempt=1;/.test(request.headers['amz-sdk-request'] ?? 'attempt=1;')
      const agents = firstTry && request[NEW_CONNECTION] !== true ? this.#agents : this.#freshAgents
      const body: Uint8Array | string | undefined = request.body
      const movement = request[MOVEMENT]
      const stores = storesAnObject(request)
      const completes = request.method === 'POST' && stores
      let completesUntil = 0
      let answerMoved = false
      let written = false
      let isConnected = false
      let socket: Socket | undefined
      let answered: http.IncomingMessage | undefined
      let streamed: http.IncomingMessage | undefined
      const transportError = (message: string, code: string, cause?: unknown): TransportError =>
        new TransportError(message, code, stores && written && isConnected, cause, written && isConnected)

      const req = (secure ? https : http).request({
        host: request.hostname.replace(/^\[|\]$/g, ''),
        port: request.port,
        method: request.method,
        path: query === '' ? request.path : `${request.path}?${query}`,
        headers: request.headers,
        agent: agents[secure ? 'https:' : 'http:'],
      })

      const connectTimer = setTimeout(() => fail(transportError('connecting took too long', 'B2_CONNECT_TIMEOUT')), this.#options.connectTimeoutMs)
      let stopWatch = (): void => {}
      const onAbort = (): void => fail(abortError())
      abortSignal?.addEventListener('abort', onAbort)

      const settle = (): void => {
        clearTimeout(connectTimer)
        stopWatch()
        abortSignal?.removeEventListener('abort', onAbort)
      }
      const fail = (error: Error): void => {
        settle()
        streamed?.destroy(error)
        req.destroy()
        reject(error)
      }
      const connected = (): void => {
        clearTimeout(connectTimer)
        if (socket === undefined || req.destroyed) return
        isConnected = true
        request[TURN]?.connected(socket, req.reusedSocket)
        stopWatch = watchForStall(socket, this.#options.stallTimeoutMs,
          () => fail(transportError('nothing moved on the connection', 'B2_STALLED')), () => {
            // What lies here unread is the reader's to take; until then B2 can't send more.
            if (streamed !== undefined) return streamed.complete || streamed.readableLength > 0
            const isAtWork = answerMoved && performance.now() < completesUntil
            answerMoved = false
            return isAtWork
          })
      }

      req.on('socket', (assigned: Socket) => {
        socket = assigned
        if (req.reusedSocket || !(assigned.connecting || secure)) connected()
        else assigned.once(secure ? 'secureConnect' : 'connect', connected)
      })
      req.on('error', (error: NodeJS.ErrnoException) => {
        // Some servers send a body after the answer to a HEAD, too. The connection is lost to that, the answer is not.
        if (answered?.complete !== true) fail(transportError(error.message, error.code ?? 'ECONNRESET', error))
      })
      req.on('response', answer => {
        answered = answer
        const finish = (bytes: Uint8Array | http.IncomingMessage): void => {
          resolve({
            response: new HttpResponse({
              statusCode: answer.statusCode ?? 0,
              reason: answer.statusMessage ?? '',
              headers: answer.headers as Record<string, string>,
              body: bytes,
            }),
          })
        }
        if (request[STREAMED_ANSWER] === true && answer.statusCode! < 300) {
          streamed = answer
          finished(answer, settle)
          return finish(answer)
        }
        if (completes) {
          // S3 servers may answer this one at once, and send white space while they put the parts together.
          completesUntil = performance.now() + (this.#options.longestCompletionMs ?? LONGEST_COMPLETION_MS)
          answerMoved = true
          answer.on('data', () => {
            answerMoved = true
            movement?.moved()
          })
        }
        readWhole(answer, read => {
          const bytes = completes ? withoutLeadingSpace(read) : read
          if (completes && answer.statusCode === 200 && bytes.byteLength === 0) return fail(transportError('the answer ended before its document', 'B2_NO_DOCUMENT'))
          settle()
          // An answer that came before the whole body was sent leaves a connection that can't be used again.
          if (!req.writableFinished) req.destroy()
          finish(bytes)
        }, error => fail(transportError(error.message, 'ECONNRESET', error)))
      })

      writeInSlices(req, body, () => { written = true })
    })
  }
}

/** PutObject and CompleteMultipartUpload; a part or an upload that was begun twice stores nothing. */
function storesAnObject ({ method, query }: HttpRequest): boolean {
  return method === 'PUT' ? query['partNumber'] === undefined : method === 'POST' && query['uploadId'] !== undefined
}

type Agents = { 'http:': http.Agent, 'https:': https.Agent }

function createAgents (options: http.AgentOptions): Agents {
  return { 'http:': new http.Agent(options), 'https:': new https.Agent(options) }
}

function writeInSlices (req: http.ClientRequest, body: Uint8Array | string | undefined, onLast: () => void): void {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  if (bytes === undefined || bytes.byteLength === 0) {
    onLast()
    req.end()
    return
  }
  let offset = 0
  const write = (): void => {
    while (!req.destroyed) {
      const slice = bytes.subarray(offset, offset + SLICE_BYTES)
      offset += slice.byteLength
      if (offset >= bytes.byteLength) {
        onLast()
        req.end(slice)
        return
      }
      if (!req.write(slice)) {
        req.once('drain', write)
        return
      }
    }
  }
  write()
}

function readWhole (answer: http.IncomingMessage, onEnd: (bytes: Uint8Array) => void, onError: (error: Error) => void): void {
  const chunks: Buffer[] = []
  let length = 0
  answer.on('data', (chunk: Buffer) => {
    length += chunk.byteLength
    if (length > LARGEST_ANSWER_BYTES) answer.destroy(new Error('the answer is too large'))
    else chunks.push(chunk)
  })
  answer.once('end', () => onEnd(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
  answer.once('error', onError)
}

/** The document alone: white space before an XML declaration is no XML. */
function withoutLeadingSpace (bytes: Uint8Array): Uint8Array {
  const start = bytes.findIndex(byte => byte > 0x20)
  return start === -1 ? new Uint8Array(0) : bytes.subarray(start)
}

function abortError (): Error {
  return Object.assign(new Error('The request was cancelled.'), { name: 'AbortError' })
}
