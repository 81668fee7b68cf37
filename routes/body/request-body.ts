import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import type { FastifyRequest } from 'fastify'
import { ClientGoneError, UploadError } from '../../services/upload-errors.ts'
import { parserErrorOf } from '../http/parser-error.ts'

/** The request's Content-Length, if it has one. */
export function contentLength ({ headers }: FastifyRequest): number | undefined {
  const header = headers['content-length']
  return header === undefined ? undefined : Number(header)
}

/** What a failure while the body was read means. */
export function explainFailure (error: unknown, { raw }: FastifyRequest): UploadError | ClientGoneError {
  if (error instanceof UploadError) return error
  const unreadable = parserErrorOf(raw)
  if (unreadable !== undefined) return unreadable
  if (!raw.complete && raw.destroyed) return new ClientGoneError('The client went away.', { cause: error })
  return new UploadError('malformed_upload', 'The body ended early or is not well-formed.', { cause: error })
}

/**
 * Counts the bytes that a client sends of a request's body. Call it before anybody reads the body. Undefined if the request
 * has no connection that counts (a host's `inject()`).
 */
export function receivedBytes (request: IncomingMessage): (() => number) | undefined {
  if (request.httpVersionMajor >= 2) return bytesOfStream(request as unknown as Http2ServerRequest)
  const { socket } = request
  if (typeof socket?.bytesRead !== 'number') return undefined
  const before = socket.bytesRead
  return () => socket.bytesRead - before
}

/** In HTTP/2 the connection carries other requests, too: only what comes in this one's stream is this client's progress. */
function bytesOfStream ({ stream }: Http2ServerRequest): () => number {
  let bytes = 0
  // Listening at once would let the bytes flow to nobody: they flow when the body is read, and the first of them comes after this event.
  stream.once('resume', () => stream.on('data', (chunk: Buffer) => { bytes += chunk.byteLength }))
  return () => bytes
}
