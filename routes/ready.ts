import type { FastifyPluginAsync } from 'fastify'
import { Type } from '@sinclair/typebox'
import { stringEnum } from '../services/config/string-enum.ts'
import type { UploadsStatus } from '../services/uploads.ts'
import { errorAnswers } from './http/answer-schemas.ts'

const ReadySchema = Type.Object({
  status: stringEnum(['ok', 'degraded', 'unavailable'],
    'Degraded: one of the stores can\'t take a file, the other can. Unavailable: none can, or the service is shutting down.'),
  b2: Type.Optional(Type.Object({
    state: stringEnum(['closed', 'open', 'half_open', 'disabled'], 'Of the circuit.'),
    last_error: Type.Union([Type.Object({ error_code: Type.String(), detail: Type.String() }), Type.Null()]),
  })),
  local: Type.Optional(Type.Object({ writable: Type.Boolean(), free_bytes: Type.Number() })),
  pending_promotions: Type.Optional(Type.Integer()),
}, { $id: 'B2UploadsReadiness', description: 'Only the status, if the service asks for an API key and the request has no valid one.' })

const answer = { description: 'How the stores are.', content: { 'application/json': { schema: { $ref: 'B2UploadsReadiness#' } } } }

/** `GET /ready`: whether uploads can be stored, and where. Never a call to B2. Needs `app.uploads` and `api-keys`. */
const ready: FastifyPluginAsync = async app => {
  app.addSchema(ReadySchema)
  app.get('/ready', {
    schema: {
      operationId: 'getReadiness',
      summary: 'Say whether uploads can be stored',
      description: 'For a readiness probe: 200 while at least one store can take files. It never asks B2.',
      tags: ['operations'],
      security: [{}, { apiKey: [] }],
      response: { 200: answer, ...errorAnswers({ 400: ['invalid_request'] }), 503: { ...answer, description: 'No store can take a file, or the service is shutting down.' } },
    },
  }, async (request, reply) => {
    const current = await app.uploads.status()
    const status = summaryOf(current)
    reply.code(status === 'unavailable' ? 503 : 200).header('cache-control', 'no-store')
    if (!request.hasApiKey) return { status }
    const { b2: { state, last_error }, local, pending_promotions } = current
    return { status, b2: { state, last_error }, local, pending_promotions }
  })
}

export default ready

function summaryOf ({ accepting, b2, local: { writable } }: UploadsStatus): 'ok' | 'degraded' | 'unavailable' {
  if (!accepting || (!b2.accepting && !writable)) return 'unavailable'
  return writable && ['closed', 'disabled'].includes(b2.state) ? 'ok' : 'degraded'
}
