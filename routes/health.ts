import type { FastifyPluginAsync } from 'fastify'
import { Type } from '@sinclair/typebox'
import { errorAnswers } from './http/answer-schemas.ts'

/** `GET /health`: the process lives. No I/O. */
const health: FastifyPluginAsync = async app => {
  app.get('/health', {
    schema: {
      operationId: 'getHealth',
      summary: 'Say that the process lives',
      description: 'For a liveness probe: it looks at nothing.',
      tags: ['operations'],
      security: [],
      response: { 200: Type.Object({ status: Type.Literal('ok') }, { description: 'It lives.' }), ...errorAnswers({ 400: ['invalid_request'] }) },
    },
  }, async () => ({ status: 'ok' }))
}

export default health
