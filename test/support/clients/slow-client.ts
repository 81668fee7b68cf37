import { setTimeout } from 'node:timers/promises'
import { BOUNDARY } from '../forms/forms.ts'
import type { RawClient } from './raw-http.ts'

export const MIB = 1_048_576
export const IDLE = { UPLOAD_IDLE_TIMEOUT_MS: '300', B2_STALL_TIMEOUT_MS: '10000', B2_PART_BYTES: String(5 * MIB) }

export function head (method: 'PUT' | 'POST', length: number): string {
  const type = method === 'PUT' ? 'application/octet-stream' : `multipart/form-data; boundary=${BOUNDARY}`
  return `${method} ${method === 'PUT' ? '/uploads/a.bin' : '/uploads'} HTTP/1.1\r\nhost: x\r\ncontent-type: ${type}\r\ncontent-length: ${length}\r\n\r\n`
}

/** Sends a little again and again until the service has answered, or all is sent. */
export async function trickle (client: RawClient, body: Uint8Array, chunkBytes: number, everyMs: number): Promise<void> {
  const answered = new AbortController()
  client.socket.once('data', () => { answered.abort() })
  for (let sent = 0; !answered.signal.aborted && sent < body.byteLength; sent += chunkBytes) {
    await setTimeout(everyMs)
    await client.send(body.subarray(sent, sent + chunkBytes))
  }
}
