import { Readable } from 'node:stream'
import type { IncomingMessage } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { correlationIdOf } from '../../plugins/correlation-id.ts'
import { stringEnum } from '../../services/config/string-enum.ts'
import { ClientGoneError, UPLOAD_ERROR_CODES, UploadError } from '../../services/upload-errors.ts'

/** The body of every error answer. */
export const ErrorSchema = Type.Object({
  error_code: stringEnum(UPLOAD_ERROR_CODES, 'Stable: for programs.'),
  error: Type.String({ description: 'One sentence.' }),
  detail: Type.String({ description: 'What happened.' }),
  hints: Type.Array(Type.String(), { description: 'What to do.' }),
  correlation_id: Type.String(),
}, { $id: 'B2UploadsErrorAnswer', description: 'Every error answer has this body.' })

/** @returns the body of an error's answer. */
export function errorBody (error: UploadError, correlationId: string): Static<typeof ErrorSchema> {
  return {
    error_code: error.error_code,
    error: error.error,
    detail: error.message,
    hints: [...error.hints],
    correlation_id: correlationId,
  }
}

const BY_STATUS: Record<number, 'unauthorized' | 'forbidden' | 'not_found' | 'upload_stalled' | 'precondition_failed' | 'file_too_large' | 'unsupported_media_type' | 'too_many_requests'> = {
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  408: 'upload_stalled',
  412: 'precondition_failed',
  413: 'file_too_large',
  415: 'unsupported_media_type',
  429: 'too_many_requests',
}

/** Any error as one that can be answered. If it is not known to be the client's fault, it is an `internal_error` and tells nothing. */
export function toUploadError (error: unknown): UploadError {
  if (error instanceof UploadError) return error
  const { statusCode, message } = Object(error) as { statusCode?: unknown, message?: unknown } // anything can be thrown, null as well
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return new UploadError(BY_STATUS[statusCode] ?? 'invalid_request', String(message), { statusCode, cause: error })
  }
  return new UploadError('internal_error', 'The request failed because of an error in the service.', { cause: error })
}

/** Answers an error in the service's shape, also while the client is still sending. */
export function answerError (caught: unknown, request: FastifyRequest, reply: FastifyReply): void {
  if (caught instanceof ClientGoneError) {
    reply.hijack()
    request.raw.destroy()
    return
  }
  const error = toUploadError(caught)
  if (error.error_code === 'internal_error' && !(caught instanceof UploadError)) request.log.error({ err: caught }, 'a request failed')
  // Caches may keep a 404 or a 405 that says nothing of it (RFC 9111 §4.2.2), and what is not there may be there soon.
  reply.code(error.statusCode).type('application/json; charset=utf-8').header('cache-control', 'no-store')
  if (error.statusCode === 401) reply.header('www-authenticate', 'Bearer') // RFC 9110 §11.6.1
  if (error.retryAfter !== undefined && !reply.hasHeader('retry-after')) reply.header('retry-after', error.retryAfter)
  sendEarly(Buffer.from(JSON.stringify(errorBody(error, correlationIdOf(request.raw)))), request, reply)
}

/** Sends an answer, also while the client is still sending. */
export function sendEarly (payload: Buffer, request: FastifyRequest, reply: FastifyReply): void {
  if (request.raw.complete || request.raw.destroyed) {
    reply.send(payload)
    return
  }
  if (request.raw.httpVersionMajor < 2) reply.header('connection', 'close') // HTTP/2 has none (RFC 9113 §8.2.2)
  reply.header('content-length', payload.byteLength).send(lingering(payload, request.raw))
}

/** Milliseconds that a client has to read an answer and stop sending, before its connection is closed. */
export const LINGER_MS = 5_000
const LINGER_BYTES = 67_108_864 // 64 MiB

/**
 * An answer that is complete at once but ends only when the client has stopped sending, or after five seconds or 64 MiB.
 * Closing earlier would reset the connection, and most clients would see that instead of the answer.
 */
function lingering (payload: Buffer, request: IncomingMessage): Readable {
  let left = LINGER_BYTES
  const answer = new Readable({ read () {} })
  const end = (): void => {
    clearTimeout(timer)
    request.off('data', count).off('end', end).off('close', end)
    answer.push(null)
  }
  const count = (chunk: Buffer): void => {
    left -= chunk.byteLength
    if (left < 0) end()
  }
  const timer = setTimeout(end, LINGER_MS)
  answer.once('close', end)
  answer.push(payload)
  request.unpipe().on('data', count).on('end', end).on('close', end).resume()
  return answer
}
