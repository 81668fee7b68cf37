import type { FastifyRequest } from 'fastify'
import { UploadError } from '../../services/upload-errors.ts'

/** Says who sends a request, by a text of the app's own. */
export type CallerOption = (request: FastifyRequest) => string

/**
 * Who sends a request. Undefined if the app has no option for it: then nobody can be told from anybody else.
 * @throws what the option throws
 */
export function callerOf (request: FastifyRequest, caller: CallerOption | undefined): string | undefined {
  if (caller === undefined) return undefined
  const found: unknown = caller(request)
  if (typeof found === 'string') return found
  throw new UploadError('internal_error', 'The app could not tell who sends the request: its option caller must return a text, and not a promise.')
}
