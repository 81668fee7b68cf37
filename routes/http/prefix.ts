import type { FastifyRequest } from 'fastify'

/** The prefix that the routes were registered under, as it stands in this request's URL if it has parameters. */
export function prefixOf ({ server, url }: FastifyRequest): string {
  const prefix = server.prefix.replace(/\/+$/, '')
  return /[:*]/.test(prefix) ? url.split('?', 1)[0]!.split('/').slice(0, prefix.split('/').length).join('/') : prefix
}
