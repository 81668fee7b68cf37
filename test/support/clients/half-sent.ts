import type { Test } from 'tap'
import { BOUNDARY, fieldPart, filePart, form } from '../forms/forms.ts'
import { scrape } from '../service/metrics.ts'
import { connect } from './raw-http.ts'
import type { RawAnswer, RawClient } from './raw-http.ts'
import type { TestService } from '../service/service.ts'

type Service = Pick<TestService, 'url'>

export interface HalfSentOptions {
  /** `POST` sends the file in a form. Default `PUT`. */
  readonly method?: 'PUT' | 'POST'
  /** The client's name for it; faults can be told by its extension, which the key has, too. */
  readonly name: string
  /** Bytes of the request's body that are sent at first. Default: half of them. */
  readonly sent?: number
  readonly headers?: Record<string, string>
}

/** An upload whose client has stopped in the middle of its body. */
export interface HalfSent {
  readonly name: string
  readonly content: Buffer
  readonly client: RawClient
  /** Sends what is left, in so many pieces, each when the one before has left this process; gives the answer. */
  finish (pieces?: number): Promise<RawAnswer | undefined>
}

export async function sendHalf (t: Test, service: Service, content: Buffer, { method = 'PUT', name, sent, headers = {} }: HalfSentOptions): Promise<HalfSent> {
  const body = method === 'PUT' ? content : form(fieldPart('before', 'x'), filePart(content, { filename: name }), fieldPart('after', 'y'))
  const type = method === 'PUT' ? 'application/octet-stream' : `multipart/form-data; boundary=${BOUNDARY}`
  const path = method === 'PUT' ? `/uploads/${name}` : '/uploads'
  const all = { host: 'x', 'content-type': type, 'content-length': String(body.byteLength), ...headers }
  const client = await connect(t, service)
  await client.send(`${method} ${path} HTTP/1.1\r\n${Object.entries(all).map(([header, value]) => `${header}: ${value}\r\n`).join('')}\r\n`)
  const first = sent ?? Math.floor(body.byteLength / 2)
  await client.send(body.subarray(0, first))
  return {
    name,
    content,
    client,
    async finish (pieces = 1) {
      const size = Math.ceil((body.byteLength - first) / pieces)
      for (let from = first; from < body.byteLength; from += size) await client.send(body.subarray(from, from + size))
      return await client.answer()
    },
  }
}

/** Resolves when so many uploads are under way. */
export async function untilInFlight (service: Service, count: number): Promise<void> {
  while ((await scrape(service)).samples.get('uploads_in_flight') !== count) { /* asks again */ }
}
