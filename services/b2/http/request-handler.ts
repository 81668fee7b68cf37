import http from 'node:http'
import https from 'node:https'
import type { Socket } from 'node:net'
import { finished } from 'node:stream'
import { HttpResponse, buildQueryString } from '@smithy/core/protocols'
import type { HttpRequest } from '@smithy/core/protocols'
import type { Movement } from '../line/movement.ts'
import { readWhole, withoutLeadingSpace, writeInSlices } from './bodies.ts'
import { createNameLookup } from './name-lookup.ts'
import { watchForStall } from './stall-watch.ts'
import type { Turn } from '../line/turns.ts'

/**
 * A request did not get a whole answer. `code` is the system's (`ECONNRESET` …), or `B2_CONNECT_TIMEOUT`, `B2_STALLED` or
 * `B2_NO_DOCUMENT`.
 */
export class TransportError extends Error {
  override readonly name = 'TransportError'
  readonly code: string
  /** True if all of the request may have reached B2. */
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
  /** Milliseconds without (nearly) any movement after which a request has stalled. */
  readonly stallTimeoutMs: number
  /** Milliseconds that the answer to CompleteMultipartUpload may take, as long as anything moves. Default 5 minutes. */
  readonly longestCompletionMs?: number
}

/** Property of a request, and of the errors of its tries: the `AbortSignal` that aborts it. */
export const ABORT_SIGNAL = Symbol('abort signal')

/** Property of a request: whether it must use a new connection. */
export const NEW_CONNECTION = Symbol('new connection')

/**
 * Property of a request: whether the body of a successful answer is handed over as it comes. Its reader must read it to its end or
 * destroy it. It fails with a {@link TransportError} if it stalls, with Node's own error if the connection breaks, and with an
 * `AbortError` if the request is aborted.
 */
export const STREAMED_ANSWER = Symbol('streamed answer')

/** Property of a request: learns of bytes that move. */
export const MOVEMENT = Symbol('movement')

/** Property of a request: the turn of its body. */
export const TURN = Symbol('turn')

/** Property of a request: what came of a try that was made without the SDK. */
export const EARLIER = Symbol('earlier')

/** What a request can ask the handler for. */
export interface HandlerWishes {
  [ABORT_SIGNAL]?: AbortSignal
  [NEW_CONNECTION]?: boolean
  [STREAMED_ANSWER]?: boolean
  [MOVEMENT]?: Movement
  [TURN]?: Turn
  [EARLIER]?: EarlierTry
}

/** A try made without the SDK. The SDK takes its outcome for that of its own first try. */
export interface EarlierTry {
  readonly answered: Promise<{ response: HttpResponse }>
  isTaken: boolean
}

const LONGEST_COMPLETION_MS = 300_000

/**
 * The HTTP side of the SDK client (its supported extension point `requestHandler`). Unlike the SDK's own handler, it tells a
 * stalled request from a slow one by the bytes that move, tells whether a failed request may have been carried out, retries on a
 * new connection as B2 advises, and writes bodies in slices.
 *
 * Answers are read whole, except those that are to be streamed.
 */
export class B2RequestHandler {
  readonly metadata = { handlerProtocol: 'http/1.1' }
  readonly #options: RequestHandlerOptions
  readonly #agents: Agents
  readonly #freshAgents: Agents

  constructor (options: RequestHandlerOptions) {
    this.#options = options
    // B2 closes idle connections after about five seconds. Closing them earlier avoids writing to one that is being closed.
    const lookup = createNameLookup()
    this.#agents = createAgents({ keepAlive: true, timeout: 4_000, lookup })
    this.#freshAgents = createAgents({ keepAlive: false, lookup })
  }

  /** The SDK would pass its own settings here; this handler has all it needs. */
  updateHttpClientConfig (): void {}

  httpHandlerConfigs (): Record<string, never> { return {} }

  /** Closes every connection. */
  destroy (): void {
    for (const agents of [this.#agents, this.#freshAgents]) {
      agents['http:'].destroy()
      agents['https:'].destroy()
    }
  }

  /** @throws {TransportError} if no whole answer came; an `AbortError` if the request's {@link ABORT_SIGNAL} fired. */
  handle (request: HttpRequest & HandlerWishes): Promise<{ response: HttpResponse }> {
    const earlier = request[EARLIER]
    if (earlier?.isTaken === false) {
      earlier.isTaken = true
      return earlier.answered
    }
    const abortSignal = request[ABORT_SIGNAL]
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
            // While bytes wait for the reader, B2 can't send more.
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
        // Some servers send a body even after the answer to a HEAD. That breaks the connection, but not the answer.
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
          // S3 servers may answer this request at once, and send white space while they put the parts together.
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
          // If the answer came before the whole body was sent, the connection can't be used again.
          if (!req.writableFinished) req.destroy()
          finish(bytes)
        }, error => fail(transportError(error.message, 'ECONNRESET', error)))
      })

      writeInSlices(req, body, () => { written = true })
    })
  }
}

/** True for PutObject and CompleteMultipartUpload: a part, or an upload that began twice, stores no object. */
function storesAnObject ({ method, query }: HttpRequest): boolean {
  return method === 'PUT' ? query['partNumber'] === undefined : method === 'POST' && query['uploadId'] !== undefined
}

type Agents = { 'http:': http.Agent, 'https:': https.Agent }

function createAgents (options: http.AgentOptions): Agents {
  return { 'http:': new http.Agent(options), 'https:': new https.Agent(options) }
}

function abortError (): Error {
  return Object.assign(new Error('The request was aborted.'), { name: 'AbortError' })
}
