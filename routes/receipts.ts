import type { FastifyPluginAsync } from 'fastify'
import { Type } from '@sinclair/typebox'
import { ReceiptSchema } from '../services/track.ts'
import { ClientGoneError } from '../services/upload-errors.ts'
import { ErrorSchema } from './error-answer.ts'
import { commonOptions, logTrouble, nameOf, NameParams, whenOver } from './file-routes.ts'
import type { RoutesOptions } from './file-routes.ts'

const errors = Object.fromEntries([401, 404, 500, 503].map(status => [status, ErrorSchema]))

/** `GET` and `DELETE /uploads/{name}`. Needs `app.uploads`. */
const receiptRoutes: FastifyPluginAsync<RoutesOptions> = async (app, options) => {
  const common = commonOptions(options)
  // Some clients say that a DELETE has JSON, and send none.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _body, done) => done(null))

  app.get('/uploads/:name', {
    ...common,
    schema: {
      operationId: 'getUpload',
      summary: 'Say where a file is now, and what it is',
      tags: ['uploads'],
      params: NameParams,
      response: { 200: ReceiptSchema, ...errors },
    },
  }, async (request, reply) => {
    const over = whenOver(reply)
    try {
      return (await app.uploads.find(nameOf(request), over)).receipt
    } catch (error) {
      if (over.aborted) throw new ClientGoneError('The client went away.', { cause: error })
      logTrouble(request, error, 'read.failed', 'a receipt could not be read')
      throw error
    }
  })

  app.delete('/uploads/:name', {
    ...common,
    schema: {
      operationId: 'deleteUpload',
      summary: 'Remove a file from both stores',
      tags: ['uploads'],
      params: NameParams,
      response: { 204: Type.Null({ description: 'It is gone, or was gone before.' }), ...errors },
    },
  }, async (request, reply) => {
    try {
      await app.uploads.remove(nameOf(request))
    } catch (error) {
      logTrouble(request, error, 'remove.failed', 'a file could not be removed')
      throw error
    }
    return await reply.code(204).send()
  })
}

export default receiptRoutes
