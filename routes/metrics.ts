import type { FastifyPluginAsync } from 'fastify'
import type { Registry } from 'prom-client'
import { errorAnswers, textAnswer } from './http/answer-schemas.ts'

export interface MetricsRouteOptions {
  /** What is answered, one after the other; their names differ. */
  registries: readonly Registry[]
}

/** `GET /metrics`, for Prometheus. */
const metrics: FastifyPluginAsync<MetricsRouteOptions> = async (app, { registries }) => {
  app.get('/metrics', {
    config: { needsScope: 'metrics' },
    schema: {
      operationId: 'getMetrics',
      summary: 'Measure the service',
      description: 'Metrics in the text format of Prometheus.',
      tags: ['operations'],
      response: { 200: textAnswer('The metrics.'), ...errorAnswers({ 400: ['invalid_request'], 401: true, 403: true, 500: true }) },
    },
  }, async (_request, reply) => {
    reply.header('cache-control', 'no-store').type(registries[0]!.contentType)
    return (await Promise.all(registries.map(async registry => await registry.metrics()))).join('\n')
  })
}

export default metrics
