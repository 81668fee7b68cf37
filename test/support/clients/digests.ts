import http from 'node:http'
import { reprDigest } from '../../../routes/body/digest-fields.ts'
import { sha256 } from '../run/bytes.ts'
import { answerTo } from '../service/answer.ts'
import type { Answer } from '../service/answer.ts'
import type { TestService } from '../service/service.ts'

/** What a client sends as the digest of a file. */
export function digestOf (content: Uint8Array): string {
  return reprDigest(sha256(content))
}

/** The same file with one bit of it changed on the way. */
export function damaged (content: Uint8Array, at: number): Buffer {
  const copy = Buffer.from(content)
  copy[at]! ^= 1
  return copy
}

/** Uploads in chunks, with fields behind the last one. */
export async function putWithTrailers (
  { url }: Pick<TestService, 'url'>, content: Uint8Array, trailers: Record<string, string>, headers: Record<string, string> = {}
): Promise<Answer> {
  const request = http.request(`${url}/uploads/file.bin`, { method: 'PUT', agent: false, headers: { 'transfer-encoding': 'chunked', ...headers } })
  request.addTrailers(trailers)
  request.write(content.subarray(0, 1_000))
  request.end(content.subarray(1_000))
  return await answerTo(request)
}

const HELD_BACK = 500

/** Uploads, and sends the last bytes only when something has come about. */
export async function putInTwo (
  { url }: Pick<TestService, 'url'>, content: Uint8Array, headers: Record<string, string>, between: Promise<unknown>
): Promise<Answer> {
  const request = http.request(`${url}/uploads/file.bin`, { method: 'PUT', agent: false, headers: { 'content-length': content.byteLength, ...headers } })
  const answer = answerTo(request)
  request.write(content.subarray(0, -HELD_BACK))
  await Promise.race([between, answer])
  request.end(content.subarray(-HELD_BACK))
  return await answer
}
