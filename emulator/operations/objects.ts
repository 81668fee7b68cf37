import { S3Error } from '../http/errors.ts'
import { emptyAnswer } from '../http/answer.ts'
import { parseRange, sliceChunks } from '../http/range.ts'
import type { Answer } from '../http/answer.ts'
import type { Bucket, Call } from './call.ts'
import type { DistinctHeaders } from '../http/signature.ts'
import type { ObjectInfo, Version } from '../store.ts'

const KEPT_HEADERS = ['cache-control', 'content-disposition', 'content-encoding', 'content-language', 'expires']
const META = 'x-amz-meta-'

/** What a writing request says about the object it writes. */
export function objectInfo (headers: DistinctHeaders): ObjectInfo {
  const given = Object.entries(headers).map(([name, values]) => [name, (values ?? []).join(',')] as const)
  return {
    contentType: headers['content-type']?.[0] ?? 'binary/octet-stream',
    metadata: Object.fromEntries(given.filter(([name]) => name.startsWith(META)).map(([name, value]) => [name.slice(META.length), value])),
    headers: Object.fromEntries(given.filter(([name]) => KEPT_HEADERS.includes(name))),
  }
}

export function putObject ({ objects }: Bucket, { target, headers, body }: Call): Answer {
  const version = objects.put(target.key!, objectInfo(headers), body)
  return emptyAnswer(200, { etag: `"${version.etag}"`, 'x-amz-version-id': version.versionId })
}

function find ({ objects }: Bucket, { target }: Call): Version {
  const { key, versionId } = target
  if (versionId === undefined) {
    const current = objects.current(key!)
    if (current === undefined) throw new S3Error(404, 'NoSuchKey', 'Key not found')
    return current
  }
  const version = objects.version(key!, versionId)
  if (version === undefined || version.isHideMarker) throw new S3Error(404, 'NoSuchVersion', 'The specified version does not exist')
  return version
}

function describe (version: Version): Record<string, string> {
  return {
    etag: `"${version.etag}"`,
    'last-modified': version.lastModified.toUTCString(),
    'accept-ranges': 'bytes',
    'content-type': version.contentType,
    'x-amz-version-id': version.versionId,
    ...version.headers,
    ...Object.fromEntries(Object.entries(version.metadata).map(([name, value]) => [META + name, value])),
  }
}

function names (header: string | undefined, etag: string): boolean | undefined {
  return header?.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '').replaceAll('"', '') === etag)
}

/** RFC 9110 13.2.2; undefined if the answer is to be sent in full. */
function precondition (version: Version, headers: DistinctHeaders): 'failed' | 'not-modified' | undefined {
  const modifiedAt = Math.floor(version.lastModified.getTime() / 1000) * 1000
  const time = (name: string) => Date.parse(headers[name]?.[0] ?? '')
  const matches = names(headers['if-match']?.join(','), version.etag)
  if (matches === false || (matches === undefined && modifiedAt > time('if-unmodified-since'))) return 'failed'
  const known = names(headers['if-none-match']?.join(','), version.etag)
  if (known === true || (known === undefined && modifiedAt <= time('if-modified-since'))) return 'not-modified'
  return undefined
}

export function getObject (bucket: Bucket, call: Call): Answer {
  const version = find(bucket, call)
  const described = describe(version)
  const verdict = precondition(version, call.headers)
  if (verdict === 'failed') throw new S3Error(412, 'PreconditionFailed', 'At least one of the preconditions you specified did not hold')
  if (verdict === 'not-modified') return emptyAnswer(304, described)

  const { chunks, size } = version.content
  const ifRange = call.headers['if-range']?.[0]
  const range = ifRange === undefined || names(ifRange, version.etag) ? parseRange(call.headers['range']?.[0], size) : undefined
  if (range === 'unsatisfiable') {
    throw new S3Error(416, 'InvalidRange', 'The requested range is not satisfiable', { 'content-range': `bytes */${size}` })
  }
  if (range === undefined) return { status: 200, headers: described, body: chunks, size }
  return {
    status: 206,
    headers: { ...described, 'content-range': `bytes ${range.first}-${range.last}/${size}` },
    body: sliceChunks(chunks, range.first, range.last + 1),
    size: range.last - range.first + 1,
  }
}

export function headObject (bucket: Bucket, call: Call): Answer {
  return { ...getObject(bucket, call), body: [] }
}

export function deleteObject ({ objects }: Bucket, { target }: Call): Answer {
  const { key, versionId } = target
  if (versionId === undefined) {
    const marker = objects.hide(key!)
    return emptyAnswer(204, marker === undefined ? {} : { 'x-amz-delete-marker': 'true', 'x-amz-version-id': marker.versionId })
  }
  const removed = objects.remove(key!, versionId)
  return emptyAnswer(204, {
    'x-amz-version-id': versionId,
    ...(removed?.isHideMarker === true ? { 'x-amz-delete-marker': 'true' } : {}),
  })
}
