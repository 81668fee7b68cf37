import { S3Error, invalidArgument } from '../http/errors.ts'
import { emptyAnswer, xmlAnswer } from '../http/answer.ts'
import { objectInfo } from './objects.ts'
import { parsePartList } from '../http/xml.ts'
import type { Answer } from '../http/answer.ts'
import type { Bucket, Call } from './call.ts'

const MAX_PARTS = 10_000

export function createUpload (bucket: Bucket, { target, headers }: Call): Answer {
  const upload = bucket.uploads.create(target.key!, objectInfo(headers))
  return xmlAnswer('InitiateMultipartUploadResult', [['Bucket', bucket.name], ['Key', upload.key], ['UploadId', upload.uploadId]])
}

export function putPart (bucket: Bucket, { target, body }: Call): Answer {
  const { key, uploadId, partNumber = Number.NaN } = target
  if (!Number.isInteger(partNumber) || partNumber < 1 || partNumber > MAX_PARTS) {
    throw invalidArgument(`Part number must be an integer between 1 and ${MAX_PARTS}, inclusive`)
  }
  bucket.uploads.putPart(bucket.uploads.get(uploadId, key!), partNumber, body)
  return emptyAnswer(200, { etag: `"${body.md5}"` })
}

export function completeUpload (bucket: Bucket, { target, body }: Call): Answer {
  const upload = bucket.uploads.get(target.uploadId, target.key!)
  const named = parsePartList(Buffer.concat(body.chunks).toString('utf8'))
  if (named === undefined || named.length > MAX_PARTS) {
    throw new S3Error(400, 'MalformedXML', 'The XML you provided was not well-formed or did not validate against our published schema')
  }
  const { content, etag } = bucket.uploads.complete(upload, named)
  const version = bucket.objects.put(upload.key, upload.info, content, etag)
  return xmlAnswer('CompleteMultipartUploadResult', [
    ['Location', `https://${bucket.name}.s3.${bucket.region}.backblazeb2.com/${upload.key}`],
    ['Bucket', bucket.name],
    ['Key', upload.key],
    ['ETag', `"${etag}"`],
  ], { 'x-amz-version-id': version.versionId })
}

export function abortUpload (bucket: Bucket, { target }: Call): Answer {
  bucket.uploads.abort(bucket.uploads.get(target.uploadId, target.key!))
  return emptyAnswer(204)
}
