import type { IncomingMessage } from 'node:http'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { correlationIdOf } from '../../plugins/correlation-id.ts'
import type { Resumables, ResumableStatus } from '../../services/resumable/resumables.ts'
import { UploadError } from '../../services/upload-errors.ts'
import { callerOf } from '../http/caller.ts'
import { reprSha256 } from '../body/digest-fields.ts'
import { toUploadError } from '../http/error-answer.ts'
import { commonOptions, nameOf } from '../http/file-routes.ts'
import type { RoutesOptions } from '../http/file-routes.ts'
import { idempotencyKeyOf } from '../http/idempotency-key.ts'
import { prefixOf } from '../http/prefix.ts'
import { acceptAnyBody, refuseReplacedBodies } from '../body/raw-body.ts'
import { assertHead } from './head.ts'
import { pieceOf } from './piece.ts'
import { EXTENSIONS, headerOf, TUS_VERSION } from './protocol.ts'
import type { TusMethod } from './protocol.ts'
import { continueSchema, createSchema, endSchema, readSchema } from './schemas.ts'
import { serve } from './server.ts'
import { RequestStore } from './store.ts'

export interface ResumableRoutesOptions extends RoutesOptions {
  readonly resumables: Resumables
}

/** Of the tus server's answers; it also has some for browsers, which are for the service or its host to decide. */
const ANSWERED = ['upload-offset', 'upload-length', 'upload-defer-length', 'upload-metadata']

/** Creations that have begun an upload, which writes its own closing line. */
const begun = new WeakSet<IncomingMessage>()

/** tus 1.0.0 at `/resumable`: uploads that are continued over several requests. */
const resumableRoutes: FastifyPluginAsync<ResumableRoutesOptions> = async (app, { uploads, resumables, preHandler, caller }) => {
  const common = { ...commonOptions({ uploads, preHandler }), config: { needsScope: 'upload' as const } }
  acceptAnyBody(app)
  refuseReplacedBodies(app)

  app.addHook('onSend', async ({ method }, reply) => {
    reply.headers({ 'tus-resumable': TUS_VERSION, 'cache-control': 'no-store' })
    if (method === 'OPTIONS' || reply.statusCode === 412) reply.header('tus-version', TUS_VERSION)
    // Also if a plugin for CORS answers it.
    if (method === 'OPTIONS') reply.headers({ 'tus-extension': EXTENSIONS.join(','), 'tus-max-size': resumables.maxBytes })
  })

  async function work (method: TusMethod, request: FastifyRequest, reply: FastifyReply, name?: string): Promise<FastifyReply> {
    assertHead(method, request, reply)
    const piece = pieceOf(request)
    const context = { correlationId: correlationIdOf(request.raw), log: request.log, hostRequest: request }
    const offset = headerOf(request, 'upload-offset')
    const from = callerOf(request, caller)
    const store = new RequestStore(resumables, {
      piece,
      offset: offset === undefined ? undefined : Number(offset),
      caller: from,
      idempotencyKey: method === 'POST' && from !== undefined ? idempotencyKeyOf(request) : undefined,
      sha256: method === 'POST' ? reprSha256(request.headers) : undefined,
      context,
    })
    try {
      const answer = await serve(resumables, { method, request, name, piece, store })
      return await reply.code(answer.status).headers({ ...picked(answer.headers), ...whereabouts(request, method, store.status), ...(store.isReplay ? replayed(store.status!) : {}) }).send()
    } finally {
      if (store.hasBegun) begun.add(request.raw)
    }
  }

  app.post('/resumable', {
    ...common,
    config: { ...common.config, takesUpload: true },
    schema: createSchema,
    errorHandler (error, request, reply) {
      if (!begun.has(request.raw)) uploads.refuse(request, toUploadError(error), reply.elapsedTime)
      common.errorHandler(error, request, reply)
    },
  }, async (request, reply) => await work('POST', request, reply))

  app.head('/resumable/:name', { ...common, config: { ...common.config, swagger: { exposeHeadRoute: true }, swaggerTransform: described }, schema: readSchema }, async (request, reply) => await work('HEAD', request, reply, nameOf(request)))
  app.patch('/resumable/:name', { ...common, schema: continueSchema }, async (request, reply) => await work('PATCH', request, reply, nameOf(request)))
  app.delete('/resumable/:name', { ...common, schema: endSchema }, async (request, reply) => await work('DELETE', request, reply, nameOf(request)))
  app.post('/resumable/:name', { ...common, schema: { hide: true } }, async (request, reply) => await work(overridden(request), request, reply, nameOf(request)))

  for (const path of ['/resumable', '/resumable/*']) {
    app.options(path, { ...common, config: { needsNoKey: true }, schema: { hide: true } }, async (_request, reply) => await reply.code(204).send())
  }
}

export default resumableRoutes

/** The document's maker would add a suffix to the operation of a HEAD route. */
function described <Schema> ({ schema, url }: { schema: Schema, url: string }): { schema: Schema, url: string } {
  return { schema: { ...schema, operationId: readSchema.operationId }, url }
}

/** For clients, and proxies before them, that know no other methods. */
function overridden (request: FastifyRequest): TusMethod {
  const method = headerOf(request, 'x-http-method-override')?.toUpperCase()
  if (method === 'HEAD' || method === 'PATCH' || method === 'DELETE') return method
  throw new UploadError('not_found', 'POST takes /resumable, without a name, unless X-HTTP-Method-Override is PATCH, DELETE or HEAD.')
}

function picked (headers: Headers): Record<string, string> {
  return Object.fromEntries([...headers].filter(([name]) => ANSWERED.includes(name)))
}

/** What a creation is answered that only finds the upload: where to go on, as it was created long ago. */
function replayed ({ offset }: ResumableStatus): Record<string, string> {
  return { 'idempotency-replayed': 'true', 'upload-offset': String(offset) }
}

/** Where the upload is, until when, and where its file is once it is complete. */
function whereabouts (request: FastifyRequest, method: TusMethod, status: ResumableStatus | undefined): Record<string, string> {
  if (status === undefined) return {} // it has just been removed
  const name = encodeURIComponent(status.name)
  return {
    ...(method === 'POST' ? { location: `${prefixOf(request)}/resumable/${name}` } : {}),
    ...(status.expiresAt === undefined ? {} : { 'upload-expires': new Date(status.expiresAt).toUTCString() }),
    ...(status.receipt === undefined ? {} : { 'content-location': `${prefixOf(request)}/uploads/${name}` }),
  }
}
