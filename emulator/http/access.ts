import { S3Error, invalidArgument, notEntitled, notImplemented } from './errors.ts'
import { queryValue } from './target.ts'
import type { Operation, Target } from './target.ts'
import type { DistinctHeaders } from './signature.ts'

/** What the application key may do, and in which bucket. */
export interface Grants {
  bucket: string
  capabilities: ReadonlySet<string>
  namePrefix: string
}

const MAX_KEY_BYTES = 1024
const MAX_METADATA_BYTES = 7000
const MAX_PUT_BYTES = 5 * 1000 ** 3
const MAX_PART_BYTES = 5 * 1024 ** 3

const CAPABILITY: Partial<Record<Operation, string>> = {
  PutObject: 'writeFiles',
  CreateMultipartUpload: 'writeFiles',
  UploadPart: 'writeFiles',
  CompleteMultipartUpload: 'writeFiles',
  AbortMultipartUpload: 'writeFiles',
  ListParts: 'writeFiles',
  GetObject: 'readFiles',
  HeadObject: 'readFiles',
  ListMultipartUploads: 'listFiles',
  ListObjectsV2: 'listFiles',
  ListObjectVersions: 'listFiles',
  HeadBucket: 'listBuckets',
  ListBuckets: 'listBuckets',
  GetBucketLocation: 'listBuckets',
}

function capabilityFor (target: Target): string | undefined {
  // Backblaze documents it so: hiding a name is a write, only removing a version is a deletion.
  if (target.operation === 'DeleteObject') return target.versionId === undefined ? 'writeFiles' : 'deleteFiles'
  return CAPABILITY[target.operation]
}

/**
 * Checks what the key may do and whether bucket and object name are acceptable.
 * Throws S3Error: 501 `NotImplemented`, 403 `AccessDenied`, 404 `NoSuchBucket`, 400 `KeyTooLongError` or `InvalidRequest`.
 */
export function checkAccess (target: Target, grants: Grants): void {
  const capability = capabilityFor(target)
  if (capability === undefined) throw notImplemented(target.operation)
  if (!grants.capabilities.has(capability)) throw notEntitled()
  if (target.operation === 'ListBuckets') return
  if (target.bucket !== grants.bucket) {
    throw new S3Error(404, 'NoSuchBucket', `The specified bucket does not exist: ${target.bucket}`)
  }
  if (target.key === undefined) {
    const isListing = target.operation.startsWith('List')
    if (isListing && !(queryValue(target, 'prefix') ?? '').startsWith(grants.namePrefix)) throw notEntitled()
    return
  }
  if (!target.key.startsWith(grants.namePrefix)) throw notEntitled()
  if (Buffer.byteLength(target.key) > MAX_KEY_BYTES) throw new S3Error(400, 'KeyTooLongError', 'Your key is too long')
  // eslint-disable-next-line no-control-regex -- control characters are what is refused
  if (/[\u0000-\u001f\u007f]/.test(target.key)) throw new S3Error(400, 'InvalidRequest', 'File names must not contain control characters')
}

function first (headers: DistinctHeaders, name: string): string | undefined {
  return headers[name]?.[0]
}

function checkRefusedHeaders (target: Target, headers: DistinctHeaders): void {
  for (const name of Object.keys(headers)) {
    if (name.startsWith('x-amz-checksum-') || name === 'x-amz-sdk-checksum-algorithm' || name === 'x-amz-trailer') {
      throw invalidArgument(`Unsupported header '${name}' received for this API call.`)
    }
  }
  if (headers['x-amz-tagging'] !== undefined) throw notImplemented('Tagging')
  const acl = first(headers, 'x-amz-acl')
  if (acl !== undefined && acl !== 'private' && acl !== 'public-read') throw invalidArgument(`Unsupported value for canned acl '${acl}'`)
  const isWrite = target.operation === 'PutObject' || target.operation === 'CompleteMultipartUpload' || target.operation === 'UploadPart'
  if (isWrite && (headers['if-none-match'] !== undefined || headers['if-match'] !== undefined)) {
    throw notImplemented('A conditional write')
  }
  const payload = first(headers, 'x-amz-content-sha256')
  if (payload === undefined) throw new S3Error(400, 'InvalidRequest', 'Missing required header for this request: x-amz-content-sha256')
  if (payload.startsWith('STREAMING-')) throw notImplemented(`A payload signed as ${payload}`)
  if (payload !== 'UNSIGNED-PAYLOAD' && !/^[0-9a-f]{64}$/i.test(payload)) {
    throw invalidArgument('x-amz-content-sha256 must be UNSIGNED-PAYLOAD or a SHA-256 in hex')
  }
}

function checkMetadata (headers: DistinctHeaders): void {
  let bytes = 0
  for (const [name, values] of Object.entries(headers)) {
    if (name.startsWith('x-amz-meta-')) bytes += name.length - 'x-amz-meta-'.length + Buffer.byteLength((values ?? []).join(','), 'latin1')
  }
  if (bytes > MAX_METADATA_BYTES) {
    throw new S3Error(400, 'MetadataTooLarge', 'Your metadata headers exceed the maximum allowed metadata size')
  }
}

/**
 * Checks the headers that B2 refuses or insists on, before the body is read.
 * Throws S3Error 400 `InvalidArgument`, `InvalidRequest`, `MetadataTooLarge` or `EntityTooLarge`, 411 `MissingContentLength`, 501 `NotImplemented`.
 */
export function checkHeaders (target: Target, headers: DistinctHeaders): void {
  checkRefusedHeaders(target, headers)
  checkMetadata(headers)
  if (target.operation !== 'PutObject' && target.operation !== 'UploadPart') return
  const length = first(headers, 'content-length')
  if (length === undefined) throw new S3Error(411, 'MissingContentLength', 'You must provide the Content-Length HTTP header')
  if (isTooLarge(target, headers)) {
    throw new S3Error(400, 'EntityTooLarge', 'Your proposed upload exceeds the maximum allowed size')
  }
}

/** Whether the announced body is beyond what one request may carry: 5 GB for an object, 5 GiB for a part. */
export function isTooLarge (target: Target, headers: DistinctHeaders): boolean {
  return Number(first(headers, 'content-length') ?? 0) > (target.operation === 'UploadPart' ? MAX_PART_BYTES : MAX_PUT_BYTES)
}
