import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import fp from 'fastify-plugin'
import { parseTraceparent } from './trace-context.ts'

const HEADER = 'x-correlation-id'
const ACCEPTED = /^[A-Za-z0-9._:-]{1,128}$/
const ids = new WeakMap<IncomingMessage, string>()

/**
 * The id that ties a request's answer, its log lines and the client's own records together: the client's own, from
 * `x-correlation-id` or else `x-request-id`, where it is fit for logs and headers; else a new UUID. It stays the same.
 */
export function correlationIdOf (request: IncomingMessage): string {
  let id = ids.get(request)
  if (id === undefined) {
    id = [request.headers[HEADER], request.headers['x-request-id']]
      .find((value): value is string => typeof value === 'string' && ACCEPTED.test(value)) ?? randomUUID()
    ids.set(request, id)
  }
  return id
}

/** Puts every request's correlation id into its answer's header and its log lines; into these also the trace that it is part of. */
export default fp(async app => {
  app.addHook('onRequest', async (request, reply) => {
    if (reply.hasHeader(HEADER)) return // a scope around this one has done it
    const id = correlationIdOf(request.raw)
    const trace = parseTraceparent(request.headers['traceparent'])
    const more = { ...(request.id === id ? {} : { correlation_id: id }), ...trace }
    if (Object.keys(more).length > 0) request.log = reply.log = request.log.child(more)
    reply.header(HEADER, id)
  })
}, { name: 'correlation-id', fastify: '5.x' })
