import type { Test } from 'tap'
import { contentPath } from './download.ts'
import type { Download, DownloadOptions } from './download.ts'
import { MIB } from '../promotion/promotion.ts'
import { isError } from './raw-http.ts'
import { bytes, put } from '../service/service.ts'
import type { TestService } from '../service/service.ts'

export const SIZE = 3 * MIB
export const FILE = /\.bin$/

// not the receipt beside it
export const RANGE = { headers: { range: 'bytes=1000-' } }

export async function store (t: Test, service: TestService, storage: 'b2' | 'local', content = bytes(SIZE)): Promise<{ key: string, path: string, content: Buffer }> {
  const { body } = await put(service, content)
  t.equal(body.storage, storage)
  return { key: body.track.key, path: contentPath(body.track.key), content }
}

export function isUnavailable (t: Test, { status, headers, body, isWhole }: Download, { method = 'GET' }: DownloadOptions): void {
  t.match({ status, isWhole }, { status: 503, isWhole: true })
  t.match(headers['retry-after'], /^[1-9]\d*$/)
  for (const name of ['etag', 'last-modified', 'content-disposition', 'content-range', 'accept-ranges']) t.notOk(name in headers, `no ${name}`)
  if (method === 'GET') isError(t, { status, headers: new Headers(headers as Record<string, string>), body: JSON.parse(body.toString()) }, 503, 'storage_unavailable')
  else t.equal(body.byteLength, 0)
}
