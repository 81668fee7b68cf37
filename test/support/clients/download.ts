import { createHash } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { finished } from 'node:stream/promises'

/** Where a server listens: a URL, or the socket of one on this machine. */
export type Server = { readonly url: string } | { readonly socketPath: string }

export interface DownloadOptions {
  readonly method?: 'GET' | 'HEAD'
  readonly headers?: Record<string, string>
}

/** An answer as far as it came. */
export interface Download {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** Whether it ended as its headers said, rather than with the connection. */
  readonly isWhole: boolean
}

/** Path of a file's bytes; `key` may be its name alone. */
export function contentPath (key: string): string {
  return `/uploads/${key.split('/').at(-1)}/content`
}

/** Asks on a connection of its own; nothing of the body is read yet. */
export async function request (server: Server, path: string, { method = 'GET', headers = {} }: DownloadOptions = {}): Promise<IncomingMessage> {
  const where = 'url' in server ? { host: new URL(server.url).hostname, port: new URL(server.url).port } : server
  const sent = http.request({ ...where, path, method, headers, agent: false }).end()
  const [answer] = await once(sent, 'response') as [IncomingMessage]
  return answer
}

/** Reads what is left of an answer. */
export async function rest (answer: IncomingMessage): Promise<Download> {
  const chunks: Buffer[] = []
  answer.on('data', (chunk: Buffer) => { chunks.push(chunk) })
  await finished(answer).catch(() => {}) // `complete` tells
  return { status: answer.statusCode!, headers: answer.headers, body: Buffer.concat(chunks), isWhole: answer.complete }
}

export async function download (server: Server, path: string, options?: DownloadOptions): Promise<Download> {
  return await rest(await request(server, path, options))
}

/** Reads an answer to its end; sha256 of its body. */
export async function hashOf (answer: IncomingMessage): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of answer) hash.update(chunk as Buffer)
  return hash.digest('hex')
}
