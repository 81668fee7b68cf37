import { invalidArgument } from '../http/errors.ts'
import { xmlAnswer } from '../http/answer.ts'
import { compareKeys } from '../store.ts'
import { queryValue } from '../http/target.ts'
import type { Answer } from '../http/answer.ts'
import type { Bucket, Call } from './call.ts'
import type { Version } from '../store.ts'
import type { Target } from '../http/target.ts'
import type { XmlElement } from '../http/xml.ts'

const MAX_PAGE = 1000

function integer (target: Target, name: string): number | undefined {
  const given = queryValue(target, name)
  if (given === undefined || given === '') return undefined
  if (!/^\d{1,9}$/.test(given)) throw invalidArgument(`Argument ${name} must be an integer between 0 and 2147483647`)
  return Number(given)
}

function pageSize (target: Target, name: string): number {
  return Math.min(integer(target, name) ?? MAX_PAGE, MAX_PAGE)
}

function isAfter (key: string, marker: string): boolean {
  return compareKeys(key, marker) > 0
}

/** The first of these, and the last one of them if there are more. */
function firstPage<T> (all: readonly T[], limit: number): { page: readonly T[], last: T | undefined } {
  const page = all.slice(0, limit)
  return { page, last: all.length > page.length ? page.at(-1) : undefined }
}

/** What `delimiter` rolls a key up to, with the delimiter; undefined if the key itself is listed. */
function commonPrefix (key: string, prefix: string, delimiter: string): string | undefined {
  const end = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length)
  return end === -1 ? undefined : key.slice(0, end + delimiter.length)
}

export function listObjects (bucket: Bucket, { target }: Call): Answer {
  const prefix = queryValue(target, 'prefix') ?? ''
  const delimiter = queryValue(target, 'delimiter') ?? ''
  const token = queryValue(target, 'continuation-token')
  const after = token === undefined ? queryValue(target, 'start-after') ?? '' : Buffer.from(token, 'base64url').toString()
  const limit = pageSize(target, 'max-keys')

  const contents: XmlElement[] = []
  const prefixes = new Set<string>()
  let last = ''
  let isTruncated = false
  for (const version of bucket.objects.all()) {
    const { key } = version
    if (version !== bucket.objects.current(key) || !key.startsWith(prefix) || !isAfter(key, after)) continue
    const rolled = commonPrefix(key, prefix, delimiter)
    if (rolled !== undefined && (prefixes.has(rolled) || after.startsWith(rolled))) {
      last = key
      continue
    }
    if (contents.length + prefixes.size >= limit) {
      isTruncated = limit > 0
      break
    }
    if (rolled === undefined) contents.push(['Contents', objectFields(version)])
    else prefixes.add(rolled)
    last = key
  }

  return xmlAnswer('ListBucketResult', [
    ['Name', bucket.name], ['Prefix', prefix], ['MaxKeys', limit], ['KeyCount', contents.length + prefixes.size],
    ['IsTruncated', isTruncated],
    ...(isTruncated ? [['NextContinuationToken', Buffer.from(last).toString('base64url')] as const] : []),
    ...contents,
    ...[...prefixes].map((name): XmlElement => ['CommonPrefixes', [['Prefix', name]]]),
  ])
}

function objectFields (version: Version): XmlElement[] {
  return [
    ['Key', version.key], ['LastModified', version.lastModified.toISOString()], ['ETag', `"${version.etag}"`],
    ['Size', version.content.size], ['StorageClass', 'STANDARD'],
  ]
}

function versionElement (version: Version, isLatest: boolean): XmlElement {
  const common: XmlElement[] = [['VersionId', version.versionId], ['IsLatest', isLatest]]
  if (!version.isHideMarker) return ['Version', [...objectFields(version), ...common]]
  return ['DeleteMarker', [['Key', version.key], ['LastModified', version.lastModified.toISOString()], ...common]]
}

export function listVersions (bucket: Bucket, { target }: Call): Answer {
  const prefix = queryValue(target, 'prefix') ?? ''
  const keyMarker = queryValue(target, 'key-marker') ?? ''
  const versionMarker = queryValue(target, 'version-id-marker') ?? ''
  const limit = pageSize(target, 'max-keys')

  const matching = bucket.objects.all().filter(({ key }) => key.startsWith(prefix))
  const marker = versionMarker === ''
    ? -1
    : matching.findIndex(({ key, versionId }) => key === keyMarker && versionId === versionMarker)
  const rest = marker === -1 ? matching.filter(({ key }) => isAfter(key, keyMarker)) : matching.slice(marker + 1)
  const { page, last } = firstPage(rest, limit)

  return xmlAnswer('ListVersionsResult', [
    ['Name', bucket.name], ['Prefix', prefix], ['KeyMarker', keyMarker], ['VersionIdMarker', versionMarker],
    ['MaxKeys', limit], ['IsTruncated', last !== undefined],
    ...(last !== undefined ? [['NextKeyMarker', last.key], ['NextVersionIdMarker', last.versionId]] as const : []),
    ...page.map((version) => versionElement(version, bucket.objects.isLatest(version))),
  ])
}

export function listUploads (bucket: Bucket, { target }: Call): Answer {
  const prefix = queryValue(target, 'prefix') ?? ''
  const keyMarker = queryValue(target, 'key-marker') ?? ''
  const uploadMarker = queryValue(target, 'upload-id-marker') ?? ''
  const limit = pageSize(target, 'max-uploads')

  const matching = bucket.uploads.all().filter(({ key }) => key.startsWith(prefix))
  const rest = matching.filter(({ key, uploadId }) => isAfter(key, keyMarker) || (key === keyMarker && uploadMarker !== '' && uploadId > uploadMarker))
  const { page, last } = firstPage(rest, limit)

  return xmlAnswer('ListMultipartUploadsResult', [
    ['Bucket', bucket.name], ['Prefix', prefix], ['KeyMarker', keyMarker], ['UploadIdMarker', uploadMarker],
    ['MaxUploads', limit], ['IsTruncated', last !== undefined],
    ...(last !== undefined ? [['NextKeyMarker', last.key], ['NextUploadIdMarker', last.uploadId]] as const : []),
    ...page.map((upload): XmlElement => ['Upload', [
      ['Key', upload.key], ['UploadId', upload.uploadId], ['Initiated', upload.initiated.toISOString()], ['StorageClass', 'STANDARD'],
    ]]),
  ])
}

export function listParts (bucket: Bucket, { target }: Call): Answer {
  const upload = bucket.uploads.get(target.uploadId, target.key!)
  const marker = integer(target, 'part-number-marker') ?? 0
  const limit = pageSize(target, 'max-parts')

  const rest = [...upload.parts].sort(([a], [b]) => a - b).filter(([partNumber]) => partNumber > marker)
  const { page, last } = firstPage(rest, limit)

  return xmlAnswer('ListPartsResult', [
    ['Bucket', bucket.name], ['Key', upload.key], ['UploadId', upload.uploadId], ['PartNumberMarker', marker],
    ['MaxParts', limit], ['IsTruncated', last !== undefined],
    ...(last !== undefined ? [['NextPartNumberMarker', last[0]] as const] : []),
    ...page.map(([partNumber, { content, lastModified }]): XmlElement => ['Part', [
      ['PartNumber', partNumber], ['LastModified', lastModified.toISOString()], ['ETag', `"${content.md5}"`], ['Size', content.size],
    ]]),
  ])
}
