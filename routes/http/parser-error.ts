import { randomUUID } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { correlationIdOf } from '../../plugins/correlation-id.ts'
import { UploadError } from '../../services/upload-errors.ts'
import { errorBody, LINGER_MS } from './error-answer.ts'
import { lengthMissing } from '../body/upload-checks.ts'

const STATUS: Record<string, number> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
}

const answered = new WeakMap<IncomingMessage, UploadError>()

/** What was answered to a request whose body turned out not to be HTTP; undefined for any other. */
export function parserErrorOf (request: IncomingMessage): UploadError | undefined {
  return answered.get(request)
}

function explain (error: Error & { code?: string }): UploadError {
  if (error.code === 'HPE_INVALID_URL') {
    return new UploadError('invalid_request', 'The target of the request has characters that have to be percent-encoded.', {
      hints: ['Percent-encode the name in the path as UTF-8: Bj%C3%B6rk.mp3 for Björk.mp3 (encodeURIComponent does it).'],
      cause: error,
    })
  }
  const statusCode = STATUS[error.code ?? ''] ?? 400
  return new UploadError(statusCode === 408 ? 'upload_stalled' : 'invalid_request',
    'The request is not well-formed HTTP, or its headers are too large or came too slowly.', { statusCode, cause: error })
}

/** Answers what Node's HTTP parser could not read. It may never have become a request, so the answer is written by hand. */
export function answerParserError (this: FastifyInstance, error: Error & { code?: string }, socket: Socket & { _httpMessage?: ServerResponse | null }): void {
  const { _httpMessage: response } = socket
  // A request of this connection is being answered, or was: another answer would be taken for its body. Or its client has gone.
  const isGone = error.code === 'ECONNRESET' || (error.code === 'HPE_INVALID_EOF_STATE' && response != null)
  if (isGone || !socket.writable || response?.headersSent === true) {
    socket.destroy()
    return
  }
  const explained = (response == null ? undefined : lengthMissing(response.req)) ?? explain(error)
  const status = explained.statusCode
  const correlationId = response == null ? randomUUID() : correlationIdOf(response.req)
  if (response != null) answered.set(response.req, explained)
  const body = JSON.stringify(errorBody(explained, correlationId))
  this.log.warn({ correlation_id: correlationId, parser_error: error.code }, 'a request could not be read')
  socket.end([
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-correlation-id: ${correlationId}`,
    'x-content-type-options: nosniff',
    'connection: close',
    '',
    body,
  ].join('\r\n'))
  // Half-open connections are allowed, so a client that never closes its side would keep this one.
  const timer = setTimeout(() => { socket.destroy() }, LINGER_MS)
  socket.once('close', () => { clearTimeout(timer) })
}
