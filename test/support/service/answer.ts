import { once } from 'node:events'
import http from 'node:http'
import type { IncomingMessage } from 'node:http'
import { json } from 'node:stream/consumers'

/** An answer with its JSON body. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  // Tests look into bodies of all shapes.
  readonly body: any
}

/** What a request on its way is answered. */
export async function answerTo (request: http.ClientRequest): Promise<Answer> {
  const [response] = await once(request, 'response') as [IncomingMessage]
  request.on('error', () => {}) // an answer that came before all was sent ends the connection
  const headers = new Headers(Object.entries(response.headers) as [string, string][])
  return { status: response.statusCode!, headers, body: await json(response) }
}

/** Sends bytes on a connection of its own. `fetch` would copy them twice, which with large files is most of a test's time. */
export async function send (url: string, method: 'PUT' | 'POST', content: Uint8Array, headers: Record<string, string>): Promise<Answer> {
  const request = http.request(url, { method, agent: false, headers: { 'content-length': content.byteLength, ...headers } })
  request.end(content)
  return await answerTo(request)
}
