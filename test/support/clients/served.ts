import type { Test } from 'tap'
import { wav } from '../../../scripts/samples/audio.ts'
import { contentPath, download } from './download.ts'
import type { Download, Server } from './download.ts'
import { MIB, PART } from '../promotion/promotion.ts'
import { bytes, put, sha256 } from '../service/service.ts'
import type { TestService } from '../service/service.ts'

export const SONG = wav({ seconds: 1, title: 'Song' })

export const FILES: readonly [content: Uint8Array, name: string, type: string][] = [
  [SONG, 'Lied ☂ 夢.wav', 'audio/wav'],
  [bytes(0), 'nothing', 'application/octet-stream'],
  [bytes(PART), 'a part.bin', 'application/octet-stream'],
  [wav({ seconds: 1, title: 'Long', minBytes: 6 * MIB }), 'long.wav', 'audio/wav'],
]

/** Headers that every answer has. */
export const OF_ANSWERS = [
  'date', 'connection', 'keep-alive', 'x-correlation-id', 'content-security-policy', 'cross-origin-opener-policy', 'cross-origin-resource-policy',
  'origin-agent-cluster', 'referrer-policy', 'x-dns-prefetch-control', 'x-download-options', 'x-frame-options', 'x-permitted-cross-domain-policies', 'x-xss-protection',
]

/** Headers that are of the file, rather than of the answer. */
export function ofFile ({ headers }: Pick<Download, 'headers'>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !OF_ANSWERS.includes(name)))
}

export interface Kept { readonly track: any, readonly content: Uint8Array, readonly type: string }

export async function store (service: TestService): Promise<Kept[]> {
  const kept = []
  for (const [content, name, type] of FILES) kept.push({ track: (await put(service, content, name)).body.track, content, type })
  return kept
}

/** GET and HEAD of each file say all that the contract asks for, and the bytes are those that were sent. Returns the headers. */
export async function isServed (t: Test, service: Server, kept: readonly Kept[]): Promise<unknown[]> {
  const headers = []
  for (const { track, content, type } of kept) {
    const path = contentPath(track.key)
    const answer = await download(service, path)
    t.match(answer, { status: 200, isWhole: true }, track.filename)
    t.equal(sha256(answer.body), sha256(content), 'the bytes')
    t.strictSame(Object.entries(ofFile(answer)).sort(), Object.entries({
      'accept-ranges': 'bytes',
      'cache-control': 'private, no-cache',
      'content-disposition': answer.headers['content-disposition'],
      'content-length': String(content.byteLength),
      'content-type': type,
      etag: `"${sha256(content)}"`,
      'last-modified': new Date(Date.parse(track.uploaded_at.slice(0, 19) + 'Z')).toUTCString(),
      'repr-digest': `sha-256=:${Buffer.from(sha256(content), 'hex').toString('base64')}:`,
      'x-content-type-options': 'nosniff',
    }).sort(), 'the headers')
    const head = await download(service, path, { method: 'HEAD' })
    t.match(head, { status: 200, isWhole: true })
    t.equal(head.body.byteLength, 0)
    t.strictSame(ofFile(head), ofFile(answer), 'HEAD says the same')
    if (content.byteLength > 0) await isServedInParts(t, service, path, content, ofFile(answer))
    headers.push(ofFile(answer))
  }
  return headers
}

export async function isServedInParts (t: Test, service: Server, path: string, content: Uint8Array, whole: Record<string, unknown>): Promise<void> {
  const size = content.byteLength
  for (const [first, last] of [[0, 0], [1_000, size - 1], [size - 1, size - 1], [Math.floor(size / 3), Math.floor(size / 2)]] as const) {
    const answer = await download(service, path, { headers: { range: `bytes=${first}-${last}` } })
    t.match(answer, { status: 206, isWhole: true })
    t.equal(sha256(answer.body), sha256(content.subarray(first, last + 1)), `the bytes ${first} to ${last}`)
    t.strictSame(ofFile(answer), { ...whole, 'content-length': String(last - first + 1), 'content-range': `bytes ${first}-${last}/${size}` })
  }
}
