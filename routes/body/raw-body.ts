import type { FastifyInstance, FastifyRequest } from 'fastify'
import { declaredContentType } from '../../services/intake/content-type.ts'
import type { Source } from '../../services/intake/source.ts'
import { UploadError } from '../../services/upload-errors.ts'
import { sendContinue } from './expect-continue.ts'
import { contentLength, explainFailure, receivedBytes } from './request-body.ts'

/** What a body is, beside its bytes. */
export interface RawBody extends Pick<Source, 'filename' | 'contentType' | 'verify'> {
  /** Text fields that are kept with the file. Default none. */
  readonly fields?: Record<string, string>
  /** Throws if the request's head shows that it will not be stored; called only if the service accepts uploads at all. */
  check? (): void
}

/** The body of a request, as the file or the piece of one that it is. */
export function rawSource (request: FastifyRequest, { fields = {}, check, ...file }: RawBody): Source {
  return {
    ...file,
    stream: request.raw,
    expectedBytes: contentLength(request),
    isExact: true,
    received: receivedBytes(request.raw),
    async open () { check?.() },
    begin () { sendContinue(request.raw) },
    complete: async () => ({ ...fields }),
    explain: error => explainFailure(error, request),
  }
}

/** Has bodies of any content type reach the routes of a scope, unread. */
export function acceptAnyBody (scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('*', (_request, _body, done) => done(null))
  // Fastify refuses what it can't parse before any parser is asked; here any content type will do.
  scope.addHook('onRequest', async ({ raw: { headers } }) => {
    const declared = headers['content-type']
    if (declared !== undefined) headers['content-type'] = declaredContentType(declared) ?? 'application/octet-stream'
  })
}

/** Refuses requests of a scope whose body is not the one that the client sends. */
export function refuseReplacedBodies (scope: FastifyInstance): void {
  scope.addHook('preParsing', async (request, _reply, payload) => {
    if (payload === request.raw) return payload
    throw new UploadError('internal_error', 'A preParsing hook of the app replaces the request\'s body: keep such hooks away from the upload routes.')
  })
}
