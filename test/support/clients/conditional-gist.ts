import { sha256 } from '../run/bytes.ts'
import type { Expected, Validators } from './conditional-cases.ts'
import { download } from './download.ts'
import type { Download, Server } from './download.ts'

export const EMPTY = Buffer.alloc(0)
export const METHODS = ['GET', 'HEAD'] as const

export async function validatorsOf (server: Server, path: string): Promise<Validators> {
  const { headers } = await download(server, path, { method: 'HEAD' })
  return { etag: headers.etag!, date: headers['last-modified']! }
}

function statusOf (expected: Expected): number {
  return typeof expected === 'number' ? expected : 206
}

/** What an answer is about, whatever its server says beside it. */
export function gist ({ status, headers, body, isWhole }: Download) {
  const isFile = status === 200 || status === 206
  return {
    status,
    range: headers['content-range'],
    // Errors have documents, each server its own.
    length: isFile ? headers['content-length'] : undefined,
    body: isFile ? sha256(body) : undefined,
    isWhole,
  }
}

export function gistOf (expected: Exclude<Expected, 'multipart'>, content: Buffer, method: 'GET' | 'HEAD') {
  const [first, last] = typeof expected === 'number' ? [0, content.byteLength - 1] : expected
  const bytes = content.subarray(first, last + 1)
  const isFile = expected === 200 || typeof expected !== 'number'
  const size = content.byteLength
  return {
    status: statusOf(expected),
    range: typeof expected !== 'number' ? `bytes ${first}-${last}/${size}` : expected === 416 ? `bytes */${size}` : undefined,
    length: isFile ? String(bytes.byteLength) : undefined,
    body: isFile ? sha256(method === 'HEAD' ? EMPTY : bytes) : undefined,
    isWhole: true,
  }
}

/** What a case is called. */
export function nameOf (method: string, headers: Readonly<Record<string, string>>): string {
  return `${method} ${Object.entries(headers).map(([name, value]) => `${name}: ${value}`).join('; ')}`
}
