import { send } from '../service/answer.ts'
import type { Answer } from '../service/answer.ts'
import type { TestService } from '../service/service.ts'

export const BOUNDARY = 'the-boundary-of-this-form'

const asBuffer = (content: string | Uint8Array): Buffer => typeof content === 'string' ? Buffer.from(content) : Buffer.from(content)

/** One part of a form, its headers written by hand. */
export function part (headers: readonly string[], content: string | Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`--${BOUNDARY}\r\n${headers.join('\r\n')}\r\n\r\n`), asBuffer(content), Buffer.from('\r\n')])
}

export function filePart (content: string | Uint8Array, { name = 'file', filename = 'song.bin', type = 'application/octet-stream' } = {}): Buffer {
  return part([`Content-Disposition: form-data; name="${name}"; filename="${filename}"`, `Content-Type: ${type}`], content)
}

export function fieldPart (name: string, value: string, type?: string): Buffer {
  return part([`Content-Disposition: form-data; name="${name}"`, ...(type === undefined ? [] : [`Content-Type: ${type}`])], value)
}

/** A whole form. */
export function form (...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat([...parts, Buffer.from(`--${BOUNDARY}--\r\n`)])
}

/** Sends a body as a form, well-formed or not. */
export async function postBody (
  service: Pick<TestService, 'url'>, body: Uint8Array | ReadableStream,
  contentType = `multipart/form-data; boundary=${BOUNDARY}`, headers: Record<string, string> = {}
): Promise<Answer> {
  const all = { 'content-type': contentType, ...headers }
  if (body instanceof Uint8Array) return await send(`${service.url}/uploads`, 'POST', body, all)
  const response = await fetch(`${service.url}/uploads`, { method: 'POST', body, headers: all, duplex: 'half' } as RequestInit)
  return { status: response.status, headers: response.headers, body: await response.json() }
}

/** Bytes as a stream of unknown length, which clients send chunked. */
export function streamOf (content: Uint8Array, chunkBytes = 65_536): ReadableStream {
  let offset = 0
  return new ReadableStream({
    pull (controller) {
      if (offset >= content.byteLength) return controller.close()
      controller.enqueue(content.subarray(offset, offset += chunkBytes))
    },
  })
}
