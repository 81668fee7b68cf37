import type { Test } from 'tap'
import { sha256 } from '../run/bytes.ts'
import { setEnv } from '../run/env.ts'
import { headersFor } from './conditional-cases.ts'
import type { Case, Expected, Validators } from './conditional-cases.ts'
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

/** What this service answers to a method. nginx honours `Range` on HEAD, too; RFC 9110 §14.2 defines it for GET alone. */
function ours (expected: Case[1], method: 'GET' | 'HEAD'): Exclude<Expected, 'multipart'> {
  const isOfRange = expected === 416 || typeof expected !== 'number'
  return method === 'HEAD' && isOfRange ? 200 : expected as Exclude<Expected, 'multipart'>
}

/** This service answers all cases, each method of them. */
export async function answersAll (t: Test, server: Server, path: string, content: Buffer, cases: readonly Case[]): Promise<void> {
  setEnv(t, { TZ: 'Asia/Kolkata' }) // HTTP's dates don't depend on it
  const validators = await validatorsOf(server, path)
  for (const [headers, expected] of cases) {
    for (const method of METHODS) {
      const answer = await download(server, path, { method, headers: headersFor(headers, validators) })
      const name = nameOf(method, headers)
      t.same(gist(answer), gistOf(ours(expected, method), content, method), name)
      isServiceAnswer(t, answer, validators, method, name)
    }
  }
}

const CODES: Record<number, string> = { 412: 'precondition_failed', 416: 'range_not_satisfiable' }

function isServiceAnswer (t: Test, { status, headers, body }: Download, { etag, date }: Validators, method: string, name: string): void {
  const code = CODES[status]
  if (code === undefined) {
    const digest = Buffer.from(etag.slice(1, -1), 'hex').toString('base64') // the ETag is the sha256
    t.match(headers, { etag, 'last-modified': date, 'repr-digest': `sha-256=:${digest}:`, 'cache-control': 'private, no-cache' }, `${name}: the validators`)
    if (status === 304) t.strictSame([headers['content-length'], headers['content-type'], body.byteLength], [undefined, undefined, 0], `${name}: nothing else`)
    else t.match(headers, { 'accept-ranges': 'bytes', 'x-content-type-options': 'nosniff' }, `${name}: the file's headers`)
    return
  }
  t.match(headers, { 'content-type': /^application\/json/, 'content-disposition': undefined, etag: undefined, 'repr-digest': undefined }, `${name}: an error`)
  if (method === 'HEAD') t.ok(Number(headers['content-length']) > 0 && body.byteLength === 0, `${name}: without its body`)
  else t.match(JSON.parse(body.toString()), { error_code: code, correlation_id: headers['x-correlation-id'] })
}
