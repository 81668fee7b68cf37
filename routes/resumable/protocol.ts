import type { FastifyRequest } from 'fastify'

/** The version of tus that is spoken here (https://tus.io/protocols/resumable-upload). */
export const TUS_VERSION = '1.0.0'
export const EXTENSIONS = ['creation', 'creation-with-upload', 'creation-defer-length', 'termination', 'expiration']
/** The content type of every piece of a file. */
export const PIECE = 'application/offset+octet-stream'

/** What a request may ask for, also by `X-HTTP-Method-Override` on a POST. */
export type TusMethod = 'POST' | 'HEAD' | 'PATCH' | 'DELETE'

/** A header that may come once; several are joined, which no header of tus may be. */
export function headerOf ({ headers }: FastifyRequest, name: string): string | undefined {
  return headers[name]?.toString()
}
