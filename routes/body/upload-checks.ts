import type { IncomingMessage } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { UploadError } from '../../services/upload-errors.ts'

/**
 * Refuses an upload whose head shows that its body is not one whole file that can be stored as it comes.
 * @throws {UploadError}
 */
export function assertStorable (request: FastifyRequest, reply: FastifyReply): void {
  assertPlain(request, reply)
  assertWhole(request)
}

/**
 * Refuses a request whose head shows that its body is not the bytes of a file as they are, whether all of them or a piece.
 * @throws {UploadError}
 */
export function assertPlain (request: FastifyRequest, reply: FastifyReply): void {
  assertDelimited(request, reply)
  assertNotCoded(request, reply)
  assertUntouched(request)
}

function assertDelimited ({ headers, raw }: FastifyRequest, reply: FastifyReply): void {
  if (raw.httpVersion !== '1.0') return
  reply.header('connection', 'close')
  if (headers['transfer-encoding'] !== undefined) throw codedUnderHttp10()
  const error = lengthMissing(raw)
  if (error !== undefined) throw error
}

/**
 * What is wrong with an upload of HTTP/1.0 that has no length; undefined for any other request. A parser takes its
 * body for the next request (RFC 9112 §6.3).
 */
export function lengthMissing ({ method, httpVersion, headers }: IncomingMessage): UploadError | undefined {
  const hasBody = method === 'PUT' || method === 'POST' || method === 'PATCH'
  if (httpVersion !== '1.0' || !hasBody || headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined) return undefined
  return new UploadError('invalid_request', 'An HTTP/1.0 request needs a Content-Length for its body.', {
    statusCode: 411,
    hints: ['Send Content-Length, or use HTTP/1.1.'],
  })
}

/** RFC 9112 §6.1: the framing of such a message is faulty, as HTTP/1.0 has no transfer codings. */
export function codedUnderHttp10 (): UploadError {
  return new UploadError('invalid_request', 'HTTP/1.0 has no transfer codings, and the request has a Transfer-Encoding.', {
    hints: ['Send Content-Length instead, or use HTTP/1.1.'],
  })
}

/**
 * Refuses a piece of a file: it would be stored as if it were all of it. Content-Range is that of resumed transfers (RFC 9110
 * §14.5), the others are those of resumable uploads (draft-ietf-httpbis-resumable-upload, its earlier versions, and tus 1.0.0).
 */
function assertWhole ({ headers }: FastifyRequest): void {
  const offset = headers['upload-offset'] ?? '0'
  const isPiece = headers['content-range'] !== undefined
    ? 'Content-Range'
    : /^\s*\?0/.test(String(headers['upload-complete']))
      ? 'Upload-Complete: ?0'
      : /^\s*\?1/.test(String(headers['upload-incomplete']))
        ? 'Upload-Incomplete: ?1'
        : !/^\s*0+\s*$/.test(String(offset)) ? 'Upload-Offset' : undefined
  if (isPiece === undefined) return
  throw new UploadError('invalid_request', `The request has a piece of a file (${isPiece}); only whole files are taken.`, {
    hints: ['Send the whole file in one request.'],
  })
}

/**
 * A body with a content coding is not the file but a packed form of it (RFC 9110 §8.4). Stored as it came, it would be read back
 * as a file of another type; and it is not unpacked here.
 */
function assertNotCoded ({ headers }: FastifyRequest, reply: FastifyReply): void {
  const coding = headers['content-encoding'] ?? ''
  if (coding.split(',').every(name => ['', 'identity'].includes(name.trim().toLowerCase()))) return
  reply.header('accept-encoding', 'identity') // RFC 9110 §15.5.16
  throw new UploadError('unsupported_media_type', `The body has a content coding (Content-Encoding: ${coding}); files are taken as they are.`, {
    hints: ['Send the file without Content-Encoding. A file that is itself compressed, such as a .gz, needs none.'],
  })
}

/** A hook of the host that read the body, or a piece of it, would have what it read be missing from the file. */
function assertUntouched ({ raw }: FastifyRequest): void {
  if (!raw.readableDidRead) return
  throw new UploadError('internal_error', 'A hook of the app has read the request\'s body before this route could: keep such hooks away from the upload routes.')
}
