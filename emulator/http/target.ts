import { S3Error } from './errors.ts'

/** The operations the emulator knows by name; `Unknown` is anything else, garbage included. */
export type Operation =
  | 'PutObject' | 'GetObject' | 'HeadObject' | 'DeleteObject' | 'DeleteObjects' | 'CopyObject'
  | 'CreateMultipartUpload' | 'UploadPart' | 'UploadPartCopy' | 'CompleteMultipartUpload' | 'AbortMultipartUpload'
  | 'ListParts' | 'ListMultipartUploads' | 'ListObjects' | 'ListObjectsV2' | 'ListObjectVersions'
  | 'HeadBucket' | 'ListBuckets' | 'GetBucketLocation' | 'ObjectSubresource' | 'BucketSubresource' | 'Unknown'

/** What a request is about, read from its method, its URL and its Host. */
export interface Target {
  operation: Operation
  /** Path as sent, still encoded: the signature is over it. */
  rawPath: string
  bucket: string | undefined
  key: string | undefined
  /** Decoded, in the order sent. */
  query: ReadonlyArray<readonly [name: string, value: string]>
  partNumber: number | undefined
  uploadId: string | undefined
  versionId: string | undefined
}

const OBJECT_SUBRESOURCES = ['acl', 'attributes', 'legal-hold', 'restore', 'retention', 'select', 'tagging', 'torrent']
const BUCKET_SUBRESOURCES = ['acl', 'cors', 'encryption', 'lifecycle', 'logging', 'notification', 'object-lock', 'policy',
  'replication', 'tagging', 'versioning', 'website']

/** The value of a query parameter, '' for one without a value. */
export function queryValue (target: Pick<Target, 'query'>, name: string): string | undefined {
  return target.query.find(([given]) => given === name)?.[1]
}

function decode (text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new S3Error(400, 'InvalidURI', "Couldn't parse the specified URI")
  }
}

function parseQuery (raw: string): Array<readonly [string, string]> {
  return raw.split('&').filter((pair) => pair !== '').map((pair) => {
    const [name = '', ...rest] = pair.replaceAll('+', '%20').split('=')
    return [decode(name), decode(rest.join('='))] as const
  })
}

function objectOperation (method: string, has: (name: string) => boolean, isCopy: boolean): Operation {
  if (OBJECT_SUBRESOURCES.some(has)) return 'ObjectSubresource'
  switch (method) {
    case 'PUT':
      if (has('uploadId') || has('partNumber')) return isCopy ? 'UploadPartCopy' : 'UploadPart'
      return isCopy ? 'CopyObject' : 'PutObject'
    case 'POST':
      if (has('uploads')) return 'CreateMultipartUpload'
      return has('uploadId') ? 'CompleteMultipartUpload' : 'Unknown'
    case 'GET': return has('uploadId') ? 'ListParts' : 'GetObject'
    case 'HEAD': return 'HeadObject'
    case 'DELETE': return has('uploadId') ? 'AbortMultipartUpload' : 'DeleteObject'
    default: return 'Unknown'
  }
}

function bucketOperation (method: string, has: (name: string) => boolean, listType: string | undefined): Operation {
  if (BUCKET_SUBRESOURCES.some(has)) return 'BucketSubresource'
  switch (method) {
    case 'GET':
      if (has('location')) return 'GetBucketLocation'
      if (has('uploads')) return 'ListMultipartUploads'
      if (has('versions')) return 'ListObjectVersions'
      return listType === '2' ? 'ListObjectsV2' : 'ListObjects'
    case 'HEAD': return 'HeadBucket'
    case 'POST': return has('delete') ? 'DeleteObjects' : 'Unknown'
    default: return 'Unknown'
  }
}

/**
 * Reads path-style URLs, and virtual-host style ones if `host` starts with `ownBucket` and a dot.
 * Throws S3Error 400 `InvalidURI` for escapes that are not UTF-8.
 */
export function parseTarget (method: string, url: string, host: string, ownBucket: string, isCopy: boolean): Target {
  const relative = url.replace(/^https?:\/\/[^/?]*/i, '')
  const mark = relative.indexOf('?')
  const rawPath = (mark === -1 ? relative : relative.slice(0, mark)) || '/'
  const query = mark === -1 ? [] : parseQuery(relative.slice(mark + 1))
  const path = decode(rawPath).replace(/^\//, '')

  const virtual = host.startsWith(`${ownBucket}.`)
  const slash = path.indexOf('/')
  const bucket = virtual ? ownBucket : (slash === -1 ? path : path.slice(0, slash))
  const key = virtual ? path : (slash === -1 ? '' : path.slice(slash + 1))

  const value = (name: string) => queryValue({ query }, name)
  const has = (name: string) => value(name) !== undefined
  let operation: Operation
  if (key !== '') operation = objectOperation(method, has, isCopy)
  else if (bucket !== '') operation = bucketOperation(method, has, value('list-type'))
  else operation = method === 'GET' ? 'ListBuckets' : 'Unknown'

  const part = value('partNumber')
  return {
    operation,
    rawPath,
    bucket: bucket === '' ? undefined : bucket,
    key: key === '' ? undefined : key,
    query,
    partNumber: part === undefined ? undefined : Number(part === '' ? Number.NaN : part),
    uploadId: value('uploadId'),
    versionId: value('versionId'),
  }
}
