import type { Test } from 'tap'
import { BOUNDARY, form } from './forms.ts'
import { connect } from '../clients/raw-http.ts'
import type { RawAnswer } from '../clients/raw-http.ts'
import type { TestService } from '../service/service.ts'

/** A part whose head is written by hand; strings are UTF-8, and each character of `bytes` is a byte. */
export function rawPart (head: readonly (string | Buffer)[], content: string | Uint8Array): Buffer {
  const lines = head.flatMap(line => [Buffer.from(line), Buffer.from('\r\n')])
  return Buffer.concat([Buffer.from(`--${BOUNDARY}\r\n`), ...lines, Buffer.from('\r\n'), Buffer.from(content), Buffer.from('\r\n')])
}

/** Bytes, one for each character. */
export function byteString (text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

/** Sends a form of these parts over a connection of its own, and gives the answer. */
export async function postParts (t: Test, service: Pick<TestService, 'url'>, ...parts: readonly Buffer[]): Promise<RawAnswer> {
  return await postForm(t, service, form(...parts))
}

export async function postForm (t: Test, service: Pick<TestService, 'url'>, body: Buffer): Promise<RawAnswer> {
  const client = await connect(t, service)
  await client.send(Buffer.concat([formHead(`content-length: ${body.byteLength}`), body]))
  return (await client.answer())!
}

/** The head of a request that has a form. */
export function formHead (...headers: readonly string[]): Buffer {
  return Buffer.from(['POST /uploads HTTP/1.1', 'host: x', `content-type: multipart/form-data; boundary=${BOUNDARY}`, ...headers, '', ''].join('\r\n'))
}

/** A chunk of a chunked body. */
export function chunked (bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.byteLength.toString(16)}\r\n`), bytes, Buffer.from('\r\n')])
}

export const LAST_CHUNK = Buffer.from('0\r\n\r\n')
