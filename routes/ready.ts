import type { FastifyPluginAsync } from 'fastify'
import { Type } from '@sinclair/typebox'
import type { UploadsStatus } from '../services/uploads.ts'

const ReadySchema = Type.Object({
  status: Type.Union([Type.Literal('ok'), Type.Literal('degraded'), Type.Literal('unavailable')], {
    description: 'Degraded: one of the stores can\'t take a file, the other can. Unavailable: none can, or the service is shutting down.',
  }),
  b2: Type.Optional(Type.Object({
    state: Type.Union(['closed', 'open', 'half_open', 'disabled'].map(state => Type.Literal(state)), { description: 'Of the circuit.' }),
    last_error: Type.Union([Type.Object({ error_code: Type.String(), detail: Type.String() }), Type.Null()]),
  })),
  local: Type.Optional(Type.Object({ writable: Type.Boolean(), free_bytes: Type.Number() })),
  pending_promotions: Type.Optional(Type.Integer()),
}, { description: 'Without a valid API key, where the service asks for one, the status alone.' })

/** `GET /ready`: whether uploads can be stored, and where. Never a call to B2. Needs `app.uploads` and `api-keys`. */
const ready: FastifyPluginAsync = async app => {
  app.get('/ready', {
    schema: {
      operationId: 'getReadiness',
      summary: 'Say whether uploads can be stored',
      tags: ['operations'],
      response: { 200: ReadySchema, 503: ReadySchema },
    },
  }, async (request, reply) => {
    const current = await app.uploads.status()
    const status = summaryOf(current)
    reply.code(status === 'unavailable' ? 503 : 200).header('cache-control', 'no-store')
    if (!request.hasApiKey) return { status }
    const { b2, local, pending_promotions } = current
    return { status, b2, local, pending_promotions }
  })
}

export default ready

function summaryOf ({ accepting, b2: { state }, local: { writable } }: UploadsStatus): 'ok' | 'degraded' | 'unavailable' {
  // While half open, B2 takes one file; the others go to local storage.
  const takes = { b2: state === 'closed', local: writable }
  if (!accepting || (!takes.b2 && !takes.local)) return 'unavailable'
  return takes.local && (takes.b2 || state === 'disabled') ? 'ok' : 'degraded'
}
