import http from 'node:http'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { isError } from '../clients/raw-http.ts'
import type { TestService } from '../service/service.ts'

type Place = Pick<TestService, 'url'>
/** Those that are undefined are not sent. */
export type TusHeaders = Record<string, string | number | string[] | undefined>

/** What a request of tus was answered. */
export interface TusAnswer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  // Tests look into bodies of all shapes.
  readonly body: any
}

export const PIECE = { 'content-type': 'application/offset+octet-stream' }

/** Sends one request of tus 1.0.0 on a connection of its own. */
export async function ask ({ url }: Place, method: string, path: string, headers: TusHeaders = {}, content?: Uint8Array): Promise<TusAnswer> {
  const request = begin({ url }, method, path, { ...(content === undefined ? {} : { 'content-length': content.byteLength }), ...headers })
  request.end(content)
  return await answerOf(request)
}

/** The same, for a body that comes by and by, without a length unless the headers say so. */
export function begin ({ url }: Place, method: string, path: string, headers: TusHeaders = {}): http.ClientRequest {
  const said = Object.entries({ 'tus-resumable': '1.0.0', ...headers }).filter(([, value]) => value !== undefined)
  return http.request(`${url}${path}`, { method, agent: false, headers: Object.fromEntries(said) as http.OutgoingHttpHeaders })
}

export async function answerOf (request: http.ClientRequest): Promise<TusAnswer> {
  const [response] = await once(request, 'response') as [IncomingMessage]
  request.on('error', () => {}) // an answer that came before all was sent ends the connection
  const headers = new Headers(Object.entries(response.headers).map(([name, value]) => [name, String(value)]))
  const said = await text(response)
  return { status: response.statusCode!, headers, text: said, get body () { return JSON.parse(said) } }
}

/** `Upload-Metadata` with these values. */
export function metadata (pairs: Record<string, string | Uint8Array>): string {
  return Object.entries(pairs).map(([name, value]) => `${name} ${Buffer.from(value as string).toString('base64')}`).join(',')
}

/** Creates an upload. @returns its path */
export async function create (t: Test, service: Place, length: number | undefined, headers: TusHeaders = {}): Promise<string> {
  const answer = await ask(service, 'POST', '/resumable', { ...(length === undefined ? { 'upload-defer-length': 1 } : { 'upload-length': length }), ...headers })
  t.equal(answer.status, 201, 'created')
  return answer.headers.get('location')!
}

/** Adds a piece to an upload. */
export async function patch (service: Place, path: string, offset: number, content: Uint8Array, headers: TusHeaders = {}): Promise<TusAnswer> {
  return await ask(service, 'PATCH', path, { ...PIECE, 'upload-offset': offset, ...headers }, content)
}

export async function head (service: Place, path: string): Promise<TusAnswer> {
  return await ask(service, 'HEAD', path)
}

/** Asserts that an answer is an error in the service's shape that is one of tus as well. */
export function isRefused (t: Test, answer: TusAnswer, status: number, code: string): void {
  isError(t, answer, status, code)
  t.equal(answer.headers.get('tus-resumable'), '1.0.0')
  t.equal(answer.headers.get('cache-control'), 'no-store')
}
