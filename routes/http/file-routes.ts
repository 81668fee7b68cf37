import type { FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify'
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { b2Hints } from '../../services/b2/error-codes.ts'
import { B2ReadError } from '../../services/b2/read-requests.ts'
import { ClientGoneError, UploadError } from '../../services/upload-errors.ts'
import type { UploadService } from '../../services/uploads.ts'
import { answerError, toUploadError } from './error-answer.ts'

export interface RoutesOptions {
  readonly uploads: UploadService
  /** Run before each route, after the host's own hooks. Default none. */
  readonly preHandler?: RouteShorthandOptions['preHandler'] | undefined
  /**
   * Says who sends a request: its user, say. Two requests with the same `Idempotency-Key` are one upload only if they come from the same caller. Without
   * this option that header is ignored. Called after the host's hooks; what it throws goes to the host's error handler.
   */
  readonly caller?: ((request: FastifyRequest) => string) | undefined
}

/** What all routes of the plugin have in common. */
export function commonOptions ({ preHandler, uploads }: RoutesOptions) {
  return {
    ...(preHandler === undefined ? {} : { preHandler }),
    errorHandler: (error: unknown, request: FastifyRequest, reply: FastifyReply) => {
      if (!isOurs(error)) return reply.send(error) // of the host's hooks: the host's error handler is next
      if (!(error instanceof ClientGoneError)) uploads.observer?.refused(toUploadError(error).error_code)
      answerError(error, request, reply)
    },
    // The schemas only describe: nothing may read a body before the handler does, and a bad name is simply not found.
    validatorCompiler: () => () => true,
    serializerCompiler: () => (answer: unknown) => JSON.stringify(answer),
  }
}

/** Whether an error is the plugin's own, or one of reading a body: content type parsers and the form parser. */
function isOurs (error: unknown): boolean {
  if (error instanceof UploadError || error instanceof ClientGoneError) return true
  return /^FST_(ERR_CTP|REQ_FILE|FILES|FIELDS|PARTS|PROTO|INVALID_JSON|INVALID_MULTIPART|MP)_/.test(String((error as { code?: unknown }).code))
}

export const NameParams = Type.Object({
  name: Type.String({ description: 'The last segment of the file\'s key: its id, and the extension if it has one.' }),
})

/** The name in the URL. */
export function nameOf (request: FastifyRequest): string {
  return (request.params as Static<typeof NameParams>).name
}

/** Fires when the client has got its answer, or has gone away without. */
export function whenOver ({ raw }: FastifyReply): AbortSignal {
  const over = new AbortController()
  if (raw.destroyed) over.abort()
  else raw.once('close', () => over.abort())
  return over.signal
}

/** What the log says of why a store could not be asked; the answer has less of it. */
export function troubleOf (error: unknown): object {
  if (!(error instanceof UploadError)) return { err: error }
  const { cause, message: detail } = error
  if (cause instanceof B2ReadError) return { detail, error_code: cause.error_code, b2_says: cause.raw, hints: b2Hints(cause.error_code) }
  return { detail, error_code: error.error_code, err: cause }
}

/** Logs why a store could not be asked. */
export function logTrouble (request: FastifyRequest, error: unknown, event: 'read.failed' | 'remove.failed', message: string): void {
  if (!(error instanceof UploadError) || error.isClientFault) return
  request.log.warn({ event, name: nameOf(request), ...troubleOf(error) }, message)
}
