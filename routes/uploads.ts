import type { IncomingMessage } from 'node:http'
import multipart from '@fastify/multipart'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from '@sinclair/typebox'
import { correlationIdOf } from '../plugins/correlation-id.ts'
import type { Source } from '../services/intake/source.ts'
import type { Receipt } from '../services/receipt.ts'
import { UploadError } from '../services/upload-errors.ts'
import { assertForm, FormSource } from './form/form-source.ts'
import { errorAnswers, storedAnswers } from './http/answer-schemas.ts'
import { assertDigestFields, assertDigests } from './body/digest-fields.ts'
import { callerOf } from './http/caller.ts'
import { sendEarly, toUploadError } from './http/error-answer.ts'
import { commonOptions } from './http/file-routes.ts'
import type { RoutesOptions } from './http/file-routes.ts'
import { idempotencyKeyOf } from './http/idempotency-key.ts'
import { allowsChange } from './http/preconditions.ts'
import { prefixOf } from './http/prefix.ts'
import { acceptAnyBody, rawSource, refuseReplacedBodies } from './body/raw-body.ts'
import { contentLength } from './body/request-body.ts'
import { assertStorable } from './body/upload-checks.ts'

export interface UploadRoutesOptions extends RoutesOptions {
  /** Largest accepted file in bytes, for refusing larger ones before they come. */
  maxBytes: number
}

// A form is larger than its file: boundaries, part headers, text fields.
const FORM_ALLOWANCE_BYTES = 1_048_576 // 1 MiB

const answers = {
  ...storedAnswers({
    location: { type: 'string', description: 'The path of the upload\'s receipt.' },
    'idempotency-replayed': { type: 'string', description: '`true` if the file had been stored before, with the same `Idempotency-Key`.' },
  }),
  ...errorAnswers({ 400: ['missing_file', 'too_many_files', 'malformed_upload', 'invalid_request'], 401: true, 403: true, 408: true, 409: true, 411: ['invalid_request'], 412: true, 413: true, 415: true, 422: true, 429: true, 500: true, 503: true }),
}

const digest = (of: string) => Type.Optional(Type.String({
  description: `The ${of}, such as \`sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:\` (RFC 9530). ` +
  'If the bytes that come have another sha256, nothing is stored. Other algorithms are ignored. In a chunked body it may also be a trailer.'
}))
const IDEMPOTENCY_KEY = {
  'idempotency-key': Type.Optional(Type.String({
    description: '1 to 255 printable ASCII characters, such as a UUID, with or without quotes: the same key from the same caller is the same upload. If its file ' +
      'is stored, the answer is its present receipt, and the body is not read. Send it when you can\'t know whether an upload that broke off was stored.',
  })),
}
const DIGESTS = Type.Object({ ...IDEMPOTENCY_KEY, 'repr-digest': digest('file\'s digest'), 'content-digest': digest('body\'s digest, which is that of the file') })

/** Requests that have begun an upload, which writes its own closing line. */
const begun = new WeakSet<IncomingMessage>()

/** `POST /uploads` and `PUT /uploads/{name}`. */
const uploadRoutes: FastifyPluginAsync<UploadRoutesOptions> = async (app, { uploads, maxBytes, preHandler, caller }) => {
  const options = commonOptions({ uploads, preHandler })
  const common = {
    ...options,
    config: { takesUpload: true, needsScope: 'upload' as const },
    errorHandler (error: unknown, request: FastifyRequest, reply: FastifyReply) {
      if (!begun.has(request.raw)) uploads.refuse(request, toUploadError(error), reply.elapsedTime)
      options.errorHandler(error, request, reply)
    },
  }

  refuseReplacedBodies(app)

  /** @param size of the file, if the request says it */
  async function receive (request: FastifyRequest, reply: FastifyReply, source: Source, size?: number): Promise<Receipt | FastifyReply> {
    const from = callerOf(request, caller)
    const idempotencyKey = from === undefined ? undefined : idempotencyKeyOf(request)
    const context = { correlationId: correlationIdOf(request.raw), log: request.log, hostRequest: request }
    begun.add(request.raw)
    const { receipt, isReplay } = from === undefined || idempotencyKey === undefined
      ? { receipt: await uploads.receive(source, context), isReplay: false }
      : await uploads.receiveOnce(source, context, { caller: from, idempotencyKey, size })
    reply.code(receipt.storage === 'split' ? 202 : 201)
    reply.header('location', `${prefixOf(request)}/uploads/${encodeURIComponent(receipt.track.key.split('/').at(-1)!)}`)
    if (!isReplay) return receipt
    reply.header('idempotency-replayed', 'true').type('application/json; charset=utf-8')
    sendEarly(Buffer.from(JSON.stringify(receipt)), request, reply)
    return reply
  }

  await app.register(async scope => {
    if (!scope.hasContentTypeParser('multipart/form-data')) await scope.register(multipart)
    // Others reach the handler, which says what is wrong with them.
    scope.removeContentTypeParser(['application/json', 'text/plain', '*'])
    scope.addContentTypeParser('*', (_request, _body, done) => done(null))
    scope.post('/uploads', {
      ...common,
      schema: {
        operationId: 'uploadFile',
        summary: 'Upload a file as a form',
        description: 'Takes exactly one file, in a field of any name, and up to 32 text fields before or after it, which are kept ' +
          'with the file. It is stored when the answer comes, and not before. Both 201 and 202 are successes: with 202 B2 has failed in the ' +
          'middle of a large file, has kept some parts of it, and local storage has the others.',
        tags: ['uploads'],
        consumes: ['multipart/form-data'],
        headers: Type.Object(IDEMPOTENCY_KEY),
        body: Type.Object({
          file: Type.String({ format: 'binary', description: 'The file.' }),
        }, { additionalProperties: true, description: 'One file, and text fields of at most 1 KiB each.' }),
        response: answers,
      },
    }, async (request, reply) => {
      const largest = maxBytes + FORM_ALLOWANCE_BYTES
      return await receive(request, reply, new FormSource(request, largest, () => {
        assertForm(request)
        assertAcceptable(request, reply, largest)
      }))
    })
  })

  await app.register(async scope => {
    acceptAnyBody(scope)
    // Not `:name`: a host's limit for the length of parameters would refuse long names, and three bytes of each
    // character that is percent-encoded count.
    scope.put('/uploads/*', {
      ...common,
      schema: {
        operationId: 'uploadRawFile',
        summary: 'Upload a file as the request body',
        description: 'The body is the file, of any content type. Each call stores a new file, unless it repeats an `Idempotency-Key`: the name in the path is the client\'s name ' +
          'for it, and not the one to find it by. Both 201 and 202 are successes, as for `uploadFile`.',
        tags: ['uploads'],
        consumes: ['application/octet-stream'],
        headers: DIGESTS,
        params: Type.Object({ name: Type.String({ description: 'The client\'s name for the file, such as `song.mp3`.' }) }),
        body: Type.String({ format: 'binary', description: 'The file.' }),
        response: { ...answers, ...errorAnswers({ 400: ['malformed_upload', 'invalid_request', 'digest_mismatch'], 404: true }) },
      },
      config: { ...common.config, swaggerTransform: named },
    }, async (request, reply) => {
      const filename = nameInUrl(request)
      return await receive(request, reply, rawSource(request, {
        filename,
        contentType: request.headers['content-type'],
        check () {
          assertAcceptable(request, reply, maxBytes)
          assertDigestFields(request.headers)
        },
        // Trailers are there when the body has ended; a host's `inject()` knows none.
        verify: sha256 => assertDigests(sha256, request.headers, request.raw.trailers ?? {}),
      }), contentLength(request))
    })
  })
}

export default uploadRoutes

/** The wildcard of the route has a name in the OpenAPI document. */
function named <Schema> ({ schema, url }: { schema: Schema, url: string }): { schema: Schema, url: string } {
  return { schema, url: url.replace('*', ':name') }
}

/** @throws {UploadError} if the request's head shows that it will not be stored */
function assertAcceptable (request: FastifyRequest, reply: FastifyReply, largest: number): void {
  assertUnconditional(request)
  const announced = contentLength(request) ?? 0
  if (announced > largest) throw new UploadError('file_too_large', `The request announces ${announced} bytes, more than is accepted.`)
  assertStorable(request, reply)
}

/** Each upload is a new file: nothing is at its target that a condition could be about (RFC 9110 §13.1). */
function assertUnconditional ({ headers }: FastifyRequest): void {
  if (allowsChange(headers, undefined)) return
  throw new UploadError('precondition_failed', 'If-Match demands a file that is there already, and each upload stores a new one.', {
    hints: ['Send the file without If-Match. To replace one, upload the new file and DELETE the old one.'],
  })
}

/** The name in the URL; one segment, so that its own slashes have to be encoded. */
function nameInUrl (request: FastifyRequest): string {
  const segments = (path: string): number => path.split('/').length
  const name = (request.params as { '*': string })['*']
  if (name === '' || segments(request.url.split('?', 1)[0]!) !== segments(request.routeOptions.url!)) {
    throw new UploadError('not_found', 'PUT takes /uploads/{name}, with one name.')
  }
  return name
}
