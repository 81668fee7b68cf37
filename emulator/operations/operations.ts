import { S3Error } from '../http/errors.ts'
import { emptyAnswer, xmlAnswer } from '../http/answer.ts'
import { deleteObject, getObject, headObject, putObject } from './objects.ts'
import { abortUpload, completeUpload, createUpload, putPart } from './multipart.ts'
import { listObjects, listParts, listUploads, listVersions } from './lists.ts'
import { sha256Of } from '../store.ts'
import type { Answer } from '../http/answer.ts'
import type { Bucket, Call } from './call.ts'
import type { Operation } from '../http/target.ts'

type Run = (bucket: Bucket, call: Call) => Answer

const RUN: Partial<Record<Operation, Run>> = {
  PutObject: putObject,
  GetObject: getObject,
  HeadObject: headObject,
  DeleteObject: deleteObject,
  CreateMultipartUpload: createUpload,
  UploadPart: putPart,
  CompleteMultipartUpload: completeUpload,
  AbortMultipartUpload: abortUpload,
  ListParts: listParts,
  ListMultipartUploads: listUploads,
  ListObjectsV2: listObjects,
  ListObjectVersions: listVersions,
  HeadBucket: (bucket) => emptyAnswer(200, { 'x-amz-bucket-region': bucket.region }),
  GetBucketLocation: (bucket) => xmlAnswer('LocationConstraint', bucket.region),
  ListBuckets: (bucket) => xmlAnswer('ListAllMyBucketsResult', [
    ['Owner', [['ID', 'e0a7b9c8d6f5'], ['DisplayName', '']]],
    ['Buckets', [['Bucket', [['Name', bucket.name], ['CreationDate', bucket.createdAt.toISOString()]]]]],
  ]),
}

function checkPayload ({ headers, body }: Call): void {
  const claimed = headers['x-amz-content-sha256']?.[0]?.toLowerCase()
  if (claimed !== undefined && claimed.length === 64 && claimed !== sha256Of(body)) {
    throw new S3Error(400, 'XAmzContentSHA256Mismatch', 'The provided \'x-amz-content-sha256\' header does not match what was computed.')
  }
  const md5 = headers['content-md5']?.[0]
  if (md5 === undefined) return
  const digest = Buffer.from(md5, 'base64')
  if (digest.length !== 16) throw new S3Error(400, 'InvalidDigest', 'The Content-MD5 you specified is not valid.')
  if (digest.toString('hex') !== body.md5) {
    throw new S3Error(400, 'BadDigest', 'The Content-MD5 you specified did not match what we received.')
  }
}

/** Verifies the body against the hashes sent with it, then does the operation, all at once. Throws S3Error; then nothing was changed. */
export function runOperation (bucket: Bucket, call: Call): Answer {
  checkPayload(call)
  const run = RUN[call.target.operation]
  if (run === undefined) throw new S3Error(501, 'NotImplemented', `${call.target.operation} is not implemented`)
  return run(bucket, call)
}
