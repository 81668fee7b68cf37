import multipart from '@fastify/multipart'
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify'
import { Type } from '@sinclair/typebox'
import { correlationIdOf } from '../plugins/correlation-id.ts'
import { declaredContentType } from '../services/content-type.ts'
import { ReceiptSchema } from '../services/track.ts'
import { UploadError } from '../services/upload-errors.ts'
import type { OpenedFile } from '../services/uploads.ts'
import { ErrorSchema } from './error-answer.ts'
import { commonOptions } from './file-routes.ts'
import type { RoutesOptions } from './file-routes.ts'
import { contentLength, explainFailure, openMultipartFile } from './multipart-file.ts'

export interface UploadRoutesOptions extends RoutesOptions {
  /** Largest accepted file in bytes, for refusing larger ones before they come. */
  maxBytes?: number | undefined
}

// A form is larger than its file: boundaries, part headers, text fields.
const FORM_ALLOWANCE_BYTES = 1_048_576 // 1 MiB

const answers = {
  201: ReceiptSchema,
  ...Object.fromEntries([400, 401, 408, 413, 415, 429, 500, 503].map(status => [status, ErrorSchema])),
}

/** `POST /uploads` and `PUT /uploads/{name}`. Needs `app.uploads`. */
const uploadRoutes: FastifyPluginAsync<UploadRoutesOptions> = async (app, { maxBytes = 1_073_741_824, preHandler }) => {
  const common = commonOptions({ preHandler })

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
        tags: ['uploads'],
        consumes: ['multipart/form-data'],
        body: Type.Object({ file: Type.String({ format: 'binary' }) }, { additionalProperties: Type.String() }),
        response: answers,
      },
    }, async (request, reply) => {
      return await receive(scope, request, reply, maxBytes + FORM_ALLOWANCE_BYTES, () => openMultipartFile(request))
    })
  })

  await app.register(async scope => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', (_request, _body, done) => done(null))
    // Fastify refuses what it can't parse before any parser is asked; here any content type will do.
    scope.addHook('onRequest', async ({ raw: { headers } }) => {
      const declared = headers['content-type']
      if (declared !== undefined) headers['content-type'] = declaredContentType(declared) ?? 'application/octet-stream'
    })
    // Not `:name`: a host's limit for the length of parameters would refuse long names, and three bytes of each
    // character that is percent-encoded count.
    scope.put('/uploads/*', {
      ...common,
      schema: {
        operationId: 'uploadRawFile',
        summary: 'Upload a file as the request body',
        tags: ['uploads'],
        consumes: ['application/octet-stream'],
        params: Type.Object({ '*': Type.String({ description: 'The file\'s name.' }) }),
        body: Type.String({ format: 'binary' }),
        response: answers,
      },
    }, async (request, reply) => {
      const filename = nameInUrl(request)
      return await receive(scope, request, reply, maxBytes, async () => openRawFile(request, filename))
    })
  })
}

export default uploadRoutes

async function receive (
  app: FastifyInstance, request: FastifyRequest, reply: { code (status: number): unknown, header (name: string, value: string): unknown },
  largestBody: number, open: () => Promise<OpenedFile>
): Promise<unknown> {
  const { socket } = request.raw
  const before = socket?.bytesRead ?? 0
  const receipt = await app.uploads.receive({
    correlationId: correlationIdOf(request.raw),
    ...(typeof socket?.bytesRead === 'number' ? { received: () => socket.bytesRead - before } : {}),
    async open () {
      if ((contentLength(request) ?? 0) > largestBody) {
        throw new UploadError('file_too_large', `The request announces ${contentLength(request)} bytes, more than is accepted.`)
      }
      return await open()
    },
  })
  reply.code(201)
  reply.header('location', `${app.prefix}/uploads/${encodeURIComponent(receipt.track.key.split('/').at(-1)!)}`)
  return receipt
}

function openRawFile (request: FastifyRequest, filename: string): OpenedFile {
  return {
    stream: request.raw,
    filename,
    contentType: request.headers['content-type'],
    expectedBytes: contentLength(request),
    explain: error => explainFailure(error, request),
    complete: async () => ({}),
  }
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
