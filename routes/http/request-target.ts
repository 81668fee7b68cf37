import type { IncomingMessage } from 'node:http'

const SCHEME_AND_AUTHORITY = /^https?:\/\/[^/?#]*/i
const NOT_ASCII = /[\u0080-\u00ff]/g

/**
 * The target of a request as Fastify's router reads it, for the server option `rewriteUrl`:
 *
 * - An absolute-form target (`PUT http://host/uploads/song.mp3`), which every server has to accept, becomes its path and query
 *   (RFC 9112 §3.2.2).
 * - Bytes above US-ASCII, which some clients send without escaping them, are percent-encoded. So a name in UTF-8 is read as
 *   UTF-8, and bytes that are not UTF-8 are 400. (RFC 3986 §2.5)
 */
export function rewriteUrl ({ url = '/' }: Pick<IncomingMessage, 'url'>): string {
  const path = url.startsWith('/') ? url : url.replace(SCHEME_AND_AUTHORITY, '')
  // Node gives the bytes of the request line as latin1.
  const target = path.replace(NOT_ASCII, byte => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`)
  return target.startsWith('/') || target === '*' ? target : `/${target}`
}
