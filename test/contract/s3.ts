import {
  AbortMultipartUploadCommand, CompleteMultipartUploadCommand, CreateMultipartUploadCommand, DeleteObjectCommand, GetObjectCommand,
  HeadObjectCommand, ListMultipartUploadsCommand, ListObjectVersionsCommand, ListPartsCommand, PutObjectCommand, S3Client, UploadPartCommand,
} from '@aws-sdk/client-s3'
import type { S3ClientConfig } from '@aws-sdk/client-s3'
import type { Target } from './target.ts'

export type Connection = Pick<Target, 'endpoint' | 'region' | 'bucket' | 'credentials'>

/** One version of an object, or a hide marker. */
export interface FoundVersion {
  readonly key: string
  readonly versionId: string | undefined
  readonly isHideMarker: boolean
  readonly isLatest: boolean
}

/** A look at the server that owes nothing to the code under test: the SDK's own client, which tries once. */
export class S3 {
  readonly client: S3Client
  readonly bucket: string

  constructor ({ endpoint, region, bucket, credentials }: Connection, config: S3ClientConfig = {}) {
    this.bucket = bucket
    this.client = new S3Client({
      endpoint,
      region,
      credentials,
      forcePathStyle: true,
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      maxAttempts: 1,
      ...config,
    })
  }

  async put (Key: string, Body: string | Uint8Array, more: object = {}) {
    return await this.client.send(new PutObjectCommand({ Bucket: this.bucket, Key, Body, ...more }))
  }

  async get (Key: string, more: object = {}) {
    return await this.client.send(new GetObjectCommand({ Bucket: this.bucket, Key, ...more }))
  }

  async head (Key: string, more: object = {}) {
    return await this.client.send(new HeadObjectCommand({ Bucket: this.bucket, Key, ...more }))
  }

  /** A DELETE, of one version where `VersionId` is given. */
  async delete (Key: string, VersionId?: string) {
    return await this.client.send(new DeleteObjectCommand({ Bucket: this.bucket, Key, VersionId }))
  }

  async bytes (key: string): Promise<Buffer> {
    const { Body } = await this.get(key)
    return Buffer.from(await Body!.transformToByteArray())
  }

  async begin (Key: string, more: object = {}): Promise<string> {
    const { UploadId } = await this.client.send(new CreateMultipartUploadCommand({ Bucket: this.bucket, Key, ...more }))
    return UploadId!
  }

  async part (Key: string, UploadId: string, PartNumber: number, Body: string | Uint8Array): Promise<string> {
    const { ETag } = await this.client.send(new UploadPartCommand({ Bucket: this.bucket, Key, UploadId, PartNumber, Body }))
    return ETag!
  }

  /** Numbers of the parts that the server has of an unfinished upload, those of the first page. */
  async parts (Key: string, UploadId: string): Promise<number[]> {
    const { Parts = [] } = await this.client.send(new ListPartsCommand({ Bucket: this.bucket, Key, UploadId }))
    return Parts.map(({ PartNumber }) => PartNumber!)
  }

  async complete (Key: string, UploadId: string, parts: readonly (readonly [PartNumber: number, ETag: string])[]) {
    const Parts = parts.map(([PartNumber, ETag]) => ({ PartNumber, ETag }))
    return await this.client.send(new CompleteMultipartUploadCommand({ Bucket: this.bucket, Key, UploadId, MultipartUpload: { Parts } }))
  }

  async abort (Key: string, UploadId: string) {
    return await this.client.send(new AbortMultipartUploadCommand({ Bucket: this.bucket, Key, UploadId }))
  }

  /** All versions below `Prefix`, in the server's order but for hide markers, which come last; the newest of a key first. */
  async versions (Prefix: string): Promise<FoundVersion[]> {
    const found: FoundVersion[] = []
    let from: object | undefined = {}
    while (from !== undefined) {
      const page: Awaited<ReturnType<S3['versionsPage']>> = await this.versionsPage({ Prefix, ...from })
      for (const [isHideMarker, list] of [[false, page.Versions ?? []], [true, page.DeleteMarkers ?? []]] as const) {
        for (const { Key, VersionId, IsLatest = false } of list) found.push({ key: Key!, versionId: VersionId, isHideMarker, isLatest: IsLatest })
      }
      from = page.IsTruncated === true ? { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker } : undefined
    }
    return found
  }

  async versionsPage (more: object) {
    return await this.client.send(new ListObjectVersionsCommand({ Bucket: this.bucket, ...more }))
  }

  async unfinishedPage (more: object) {
    return await this.client.send(new ListMultipartUploadsCommand({ Bucket: this.bucket, ...more }))
  }

  /** Multipart uploads below `Prefix` that were neither completed nor aborted. */
  async unfinished (Prefix: string): Promise<{ key: string, uploadId: string }[]> {
    const found: { key: string, uploadId: string }[] = []
    let from: object | undefined = {}
    while (from !== undefined) {
      const page: Awaited<ReturnType<S3['unfinishedPage']>> = await this.unfinishedPage({ Prefix, ...from })
      for (const { Key, UploadId } of page.Uploads ?? []) found.push({ key: Key!, uploadId: UploadId! })
      from = page.IsTruncated === true ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker } : undefined
    }
    return found
  }

  /** What is below `prefix`, in words: versions, hide markers, unfinished uploads. */
  async all (prefix: string): Promise<string[]> {
    const [versions, uploads] = [await this.versions(prefix), await this.unfinished(prefix)]
    const words = versions.map(({ key, isHideMarker }) => `${isHideMarker ? 'hidden ' : ''}${key.slice(prefix.length)}`)
    return [...words, ...uploads.map(({ key }) => `unfinished ${key.slice(prefix.length)}`)].sort()
  }

  /** Removes what is below `prefix`, for good; the oldest first, so that nothing comes to light meanwhile. */
  async clear (prefix: string): Promise<void> {
    for (const { key, uploadId } of await this.unfinished(prefix)) await this.abort(key, uploadId)
    for (const { key, versionId } of (await this.versions(prefix)).reverse()) await this.delete(key, versionId)
  }

  close (): void {
    this.client.destroy()
  }
}
