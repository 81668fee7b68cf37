import { once } from 'node:events'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from '@sinclair/typebox'
import { create as contentDisposition } from 'content-disposition'
import { reprDigest } from './body/digest-fields.ts'
import { rangeOf } from './http/range-header.ts'
import { allowsRange, checkConditions, validatorsOf } from './http/preconditions.ts'
import { bytesOf } from '../services/downloads/byte-range.ts'
import type { ByteRange } from '../services/downloads/byte-range.ts'
import type { Track } from '../services/receipt.ts'
import { ClientGoneError, UploadError } from '../services/upload-errors.ts'
import { emptyAnswer, errorAnswers, fileAnswer } from './http/answer-schemas.ts'
import { beginDownload, cut } from './download/download.ts'
import type { Download } from './download/download.ts'
import { commonOptions, nameOf, NameParams, whenOver } from './http/file-routes.ts'
import type { RoutesOptions } from './http/file-routes.ts'
import { createReaderWatch } from './download/reader-watch.ts'
import { servedType } from './download/served-type.ts'

const text = (description: string) => ({ type: 'string', description })
const OF_FILE = {
  etag: text('The file\'s sha256 in quotes; moving to B2 does not change it.'),
  'last-modified': text('When the file was uploaded.'),
  'repr-digest': text('The sha256 of the whole file, as `sha-256=:<base64>:` (RFC 9530).'),
}
const FILE = {
  ...OF_FILE,
  'accept-ranges': text('`bytes`'),
  'content-disposition': text('`attachment`, with the client\'s name for the file (RFC 6266).'),
}

const CONDITIONS = {
  'if-none-match': Type.Optional(Type.String({ description: 'ETags that the client has.' })),
  'if-modified-since': Type.Optional(Type.String({ description: 'The date that the client has.' })),
  'if-match': Type.Optional(Type.String({ description: 'ETags, one of which the file must have.' })),
  'if-unmodified-since': Type.Optional(Type.String({ description: 'The date that the file must have.' })),
}
const RANGE = {
  range: Type.Optional(Type.String({ description: 'One range of bytes, such as `bytes=0-1023`.' })),
  'if-range': Type.Optional(Type.String({ description: 'The range counts only if the file has this ETag or date.' })),
}
const DESCRIPTION = 'The answer has the file\'s own content type, but `application/octet-stream` for what browsers would carry out. ' +
  'A split file can\'t be read until it has been joined in B2: 503 `storage_unavailable`, with a detail that says how many bytes are where.'
const ERRORS = { 400: ['invalid_request'], 401: true, 403: true, 404: true, 412: true, 500: true, 503: ['storage_unavailable', 'overloaded', 'shutting_down'] } as const

const GET_SCHEMA = {
  operationId: 'getUploadContent',
  summary: 'Read a file',
  description: `${DESCRIPTION} A range of bytes and the conditions of RFC 9110 are honoured.`,
  tags: ['uploads'],
  params: NameParams,
  headers: Type.Object({ ...RANGE, ...CONDITIONS }),
  response: {
    200: fileAnswer('The file.', FILE, true),
    206: fileAnswer('The range of it that was asked for.', { ...FILE, 'content-range': text('Which bytes they are, and of how many.') }, true),
    304: emptyAnswer('The client has it already.', OF_FILE),
    ...errorAnswers({ ...ERRORS, 416: true }),
  },
}

const HEAD_SCHEMA = {
  operationId: 'headUploadContent',
  summary: 'Say what reading a file would answer',
  description: `${DESCRIPTION} The conditions of RFC 9110 are honoured; \`Range\` counts for GET alone (§14.2).`,
  tags: ['uploads'],
  params: NameParams,
  headers: Type.Object(CONDITIONS),
  response: {
    200: fileAnswer('The file.', FILE, false),
    304: emptyAnswer('The client has it already.', OF_FILE),
    ...errorAnswers(ERRORS),
  },
}

/** `GET` and `HEAD /uploads/{name}/content`. */
const contentRoutes: FastifyPluginAsync<RoutesOptions> = async (app, options) => {
  const { uploads } = options
  const common = commonOptions(options)
  const watch = createReaderWatch(uploads.downloads.idleTimeoutMs)

  app.get('/uploads/:name/content', {
    ...common,
    exposeHeadRoute: false,
    config: { needsScope: 'read' },
    schema: GET_SCHEMA,
  }, serve)

  app.head('/uploads/:name/content', {
    ...common,
    schema: HEAD_SCHEMA,
    config: { needsScope: 'read', swagger: { exposeHeadRoute: true }, swaggerTransform: described },
  }, serve)

  async function serve (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const over = whenOver(reply)
    const download = beginDownload(request, reply, uploads.downloads, watch)
    try {
      return await answer(request, reply, over, download)
    } catch (caught) {
      const error = over.aborted ? new ClientGoneError('The client went away.', { cause: caught }) : caught
      download.failed(error)
      throw error
    }
  }

  async function answer (request: FastifyRequest, reply: FastifyReply, over: AbortSignal, download: Download): Promise<FastifyReply> {
    const { headers, method } = request
    const stored = await uploads.find(nameOf(request), over)
    download.found(stored.receipt)
    const { track } = stored.receipt
    const { size_bytes: size } = track
    const validators = validatorsOf(track)

    const verdict = checkConditions(headers, validators)
    if (verdict === 'failed') {
      throw new UploadError('precondition_failed', 'The file is not the one that If-Match or If-Unmodified-Since demands.')
    }
    const known = {
      etag: validators.etag,
      'last-modified': new Date(validators.modifiedAt).toUTCString(),
      'repr-digest': reprDigest(track.sha256), // of the whole file, also beside a range of it (RFC 9530 §3)
      // It may need a key or a cookie: nothing between us and the client may keep it for others. And it may be deleted, or its
      // reader be another one by then: the client asks each time, which its ETag makes cheap.
      'cache-control': 'private, no-cache',
    }
    if (verdict === 'not_modified') return await reply.code(304).headers(known).send()

    // Ranges are defined for GET alone (RFC 9110 §14.2).
    const range = method === 'GET' && allowsRange(headers, validators) ? rangeOf(headers.range, size) : undefined
    if (range === 'unsatisfiable') {
      reply.header('content-range', `bytes */${size}`)
      throw new UploadError('range_not_satisfiable', `The file has ${size} bytes, and Range asks for "${headers.range}".`)
    }
    const all = { ...known, ...describe(track), ...lengthOf(size, range) }
    const status = range === undefined ? 200 : 206
    if (method === 'HEAD') {
      if (stored.receipt.storage === 'split') (await stored.open(undefined, over)).destroy() // it may not be readable yet
      return await reply.code(status).headers(all).send()
    }

    const stream = await stored.open(range, over)
    // What fails before the first byte can still be answered.
    await once(stream, 'readable')
    stream.once('error', error => {
      if (!over.aborted) download.failed(error)
      cut(reply)
    })
    download.sending()
    return await reply.code(status).headers(all).send(stream)
  }
}

export default contentRoutes

/** HEAD is left out of OpenAPI documents, or gets a suffix. */
function described <Schema extends object> ({ schema, url }: { schema: Schema, url: string }): { schema: Schema, url: string } {
  return { schema: { ...schema, operationId: 'headUploadContent' }, url }
}

function describe ({ filename, content_type: type }: Track): Record<string, string> {
  return {
    'content-type': servedType(type),
    'content-disposition': contentDisposition(filename), // RFC 6266
    'x-content-type-options': 'nosniff',
    // If something makes a page of it all the same (a proxy that drops the disposition), that page may do nothing.
    'content-security-policy': "default-src 'none';frame-ancestors 'none';sandbox",
    'accept-ranges': 'bytes',
  }
}

function lengthOf (size: number, range: ByteRange | undefined): Record<string, string> {
  const length = { 'content-length': String(bytesOf(size, range)) }
  return range === undefined ? length : { ...length, 'content-range': `bytes ${range.first}-${range.last}/${size}` }
}
