import { once } from 'node:events'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from '@sinclair/typebox'
import { create as contentDisposition } from 'content-disposition'
import { rangeOf } from '../services/content-range.ts'
import { allowsRange, checkConditions } from '../services/preconditions.ts'
import type { Track } from '../services/track.ts'
import { ClientGoneError, UploadError } from '../services/upload-errors.ts'
import { ErrorSchema } from './error-answer.ts'
import { commonOptions, logTrouble, nameOf, NameParams, whenOver } from './file-routes.ts'
import type { RoutesOptions } from './file-routes.ts'

const errors = Object.fromEntries([401, 404, 412, 416, 500, 503].map(status => [status, ErrorSchema]))

const conditions = Type.Object(Object.fromEntries(['range', 'if-range', 'if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since']
  .map(name => [name, Type.Optional(Type.String())])))

function schema (operationId: string, summary: string, body: object) {
  return {
    operationId,
    summary,
    tags: ['uploads'],
    params: NameParams,
    headers: conditions,
    response: {
      200: { description: 'The file.', ...body },
      206: { description: 'The range of it that was asked for.', ...body },
      304: Type.Null({ description: 'The client has it already.' }),
      ...errors,
    },
  }
}

/** `GET` and `HEAD /uploads/{name}/content`. Needs `app.uploads`. */
const contentRoutes: FastifyPluginAsync<RoutesOptions> = async (app, options) => {
  const common = commonOptions(options)
  const file = { content: { 'application/octet-stream': { schema: Type.String({ format: 'binary' }) } } }

  app.get('/uploads/:name/content', {
    ...common,
    exposeHeadRoute: false,
    schema: schema('getUploadContent', 'Read a file', file),
  }, serve)

  app.head('/uploads/:name/content', {
    ...common,
    schema: schema('headUploadContent', 'Say what reading a file would answer', {}),
  }, serve)

  async function serve (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const over = whenOver(reply)
    try {
      return await answer(request, reply, over)
    } catch (error) {
      if (over.aborted) throw new ClientGoneError('The client went away.', { cause: error })
      logTrouble(request, error, 'read.failed', 'a file could not be read')
      throw error
    }
  }

  async function answer (request: FastifyRequest, reply: FastifyReply, over: AbortSignal): Promise<FastifyReply> {
    const { headers, method } = request
    const stored = await app.uploads.find(nameOf(request), over)
    const { track } = stored.receipt
    const { size_bytes: size } = track
    const validators = { etag: `"${track.sha256}"`, modifiedAt: Math.floor(Date.parse(track.uploaded_at) / 1_000) * 1_000 }

    const verdict = checkConditions(headers, validators)
    if (verdict === 'failed') {
      throw new UploadError('invalid_request', 'The file is not the one that If-Match or If-Unmodified-Since demand.', { statusCode: 412 })
    }
    const known = {
      etag: validators.etag,
      'last-modified': new Date(validators.modifiedAt).toUTCString(),
      // It may need a key, and may be deleted: nothing between us and the client may keep it for others.
      'cache-control': 'private',
    }
    if (verdict === 'not_modified') return await reply.code(304).headers(known).send()

    const range = allowsRange(headers, validators) ? rangeOf(headers.range, size) : undefined
    if (range === 'unsatisfiable') {
      reply.header('content-range', `bytes */${size}`)
      throw new UploadError('range_not_satisfiable', `The file has ${size} bytes, and Range asks for "${headers.range}".`)
    }
    const all = { ...known, ...describe(track), ...lengthOf(size, range) }
    const status = range === undefined ? 200 : 206
    if (method === 'HEAD') return await reply.code(status).headers(all).send()

    const stream = await stored.open(range, over)
    // What fails before the first byte can still be answered.
    await once(stream, 'readable')
    stream.once('error', error => {
      if (!over.aborted) logTrouble(request, error, 'read.cut', 'a file could not be read to its end')
      // It must not look whole, nor like an error with the headers of a file.
      reply.raw.destroy()
    })
    return await reply.code(status).headers(all).send(stream)
  }
}

export default contentRoutes

function describe ({ filename, content_type: type }: Track): Record<string, string> {
  return {
    'content-type': type,
    'content-disposition': contentDisposition(filename), // RFC 6266
    'x-content-type-options': 'nosniff',
    'accept-ranges': 'bytes',
  }
}

function lengthOf (size: number, range: { first: number, last: number } | undefined): Record<string, string> {
  if (range === undefined) return { 'content-length': String(size) }
  return { 'content-length': String(range.last - range.first + 1), 'content-range': `bytes ${range.first}-${range.last}/${size}` }
}
