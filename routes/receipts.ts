import type { FastifyPluginAsync } from 'fastify'
import { Type } from '@sinclair/typebox'
import { correlationIdOf } from '../plugins/correlation-id.ts'
import { allowsChange, validatorsOf } from './http/preconditions.ts'
import { ClientGoneError } from '../services/upload-errors.ts'
import type { Track } from '../services/receipt.ts'
import { emptyAnswer, errorAnswers, receiptAnswer } from './http/answer-schemas.ts'
import { commonOptions, logTrouble, nameOf, NameParams, whenOver } from './http/file-routes.ts'
import type { RoutesOptions } from './http/file-routes.ts'

const errors = { 400: ['invalid_request'], 401: true, 403: true, 404: true, 500: true, 503: ['storage_unavailable'] } as const
const CONDITIONS = ['if-match', 'if-none-match', 'if-unmodified-since'] as const

/** `GET` and `DELETE /uploads/{name}`. */
const receiptRoutes: FastifyPluginAsync<RoutesOptions> = async (app, options) => {
  const { uploads } = options
  const common = commonOptions(options)
  // Some clients say that a DELETE has JSON, and send none.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _body, done) => done(null))

  app.get('/uploads/:name', {
    ...common,
    config: { needsScope: 'read' },
    schema: {
      operationId: 'getUpload',
      summary: 'Say where a file is now, and what it is',
      description: 'The upload\'s receipt. After a file has moved to B2, or a split one has been joined there, it says so, with the same `track`.',
      tags: ['uploads'],
      params: NameParams,
      response: { 200: receiptAnswer('The receipt.'), ...errorAnswers(errors) },
    },
  }, async (request, reply) => {
    const over = whenOver(reply)
    try {
      const { receipt } = await uploads.find(nameOf(request), over)
      // It changes when the file moves, has no ETag, and says more of the file than its bytes do.
      reply.header('cache-control', 'no-store')
      return receipt
    } catch (error) {
      if (over.aborted) throw new ClientGoneError('The client went away.', { cause: error })
      logTrouble(request, error, 'read.failed', 'a receipt could not be read')
      throw error
    }
  })

  app.delete('/uploads/:name', {
    ...common,
    config: { needsScope: 'delete' },
    schema: {
      operationId: 'deleteUpload',
      summary: 'Remove a file from both stores',
      description: 'Removes the file with all its versions, its receipt, a pending move to B2, and the unfinished upload of a split file. It answers the same the second time. ' +
        'The conditions of RFC 9110 are honoured.',
      tags: ['uploads'],
      params: NameParams,
      headers: Type.Object({
        'if-match': Type.Optional(Type.String({ description: 'ETags, one of which the file must have.' })),
        'if-none-match': Type.Optional(Type.String({ description: 'ETags, none of which the file may have.' })),
        'if-unmodified-since': Type.Optional(Type.String({ description: 'The date that the file must have.' })),
      }),
      response: { 204: emptyAnswer('It is gone, or was gone before.'), ...errorAnswers({ ...errors, 412: true }) },
    },
  }, async (request, reply) => {
    const { headers } = request
    const isConditional = CONDITIONS.some(name => headers[name] !== undefined)
    const allows = (track?: Track): boolean => allowsChange(headers, track && validatorsOf(track))
    try {
      await uploads.remove(nameOf(request), correlationIdOf(request.raw), isConditional ? allows : undefined, request.log)
    } catch (error) {
      logTrouble(request, error, 'remove.failed', 'a file could not be removed')
      throw error
    }
    return await reply.code(204).send()
  })
}

export default receiptRoutes
