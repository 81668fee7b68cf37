import type { Readable } from 'node:stream'
import { GetObjectCommand, HeadObjectCommand, ListObjectsV2Command, ListObjectVersionsCommand, ListPartsCommand } from '@aws-sdk/client-s3'
import type { GetObjectCommandOutput, ListObjectsV2CommandOutput, ListPartsCommandOutput } from '@aws-sdk/client-s3'
import type { ByteRange } from '../downloads/byte-range.ts'
import type { Track } from '../receipt.ts'
import { onNewConnection, withStreamedAnswer } from './http/client.ts'
import { attemptOf, companionKey, sha256Of, trackFromCompanion, trackFromMetadata } from './object-receipt.ts'
import { ObjectStream } from './object-stream.ts'
import { B2ReadError, isMissing } from './read-requests.ts'
import type { ReadRequests } from './read-requests.ts'

/** What B2 says about an object. */
export interface ObjectHead {
  /** Bytes. */
  readonly size: number
  /** Hex, from the metadata; undefined if it has none. */
  readonly sha256: string | undefined
  /** The attempt that stored it, if several may have the key. */
  readonly attempt: string | undefined
}

/** A part that B2 has of an unfinished multipart upload. */
export interface ListedPart {
  /** As B2 gives it. */
  readonly etag: string
  /** Bytes. */
  readonly size: number
  /** Unix time in milliseconds, by this machine's clock. */
  readonly modifiedAt: number
}

/** An object in a listing. */
export interface ListedObject {
  readonly key: string
  /** Bytes. */
  readonly size: number
  /** Unix time in milliseconds, by this machine's clock. */
  readonly modifiedAt: number
}

export interface ObjectReader {
  /** What B2 has under `key`; undefined if it has nothing. @throws {B2ReadError} like the others here; the reason of `signal` if that fires. */
  head (key: string, signal?: AbortSignal): Promise<ObjectHead | undefined>
  /** What is known of the file, from the object's metadata or its companion; undefined if there is no such object, or none that was acknowledged. */
  track (key: string, signal?: AbortSignal): Promise<Track | undefined>
  /** The parts that B2 has of an unfinished upload, by their numbers; undefined if it has no such upload. @throws {B2ReadError} `access_denied` if the key may not list */
  parts (key: string, uploadId: string, signal?: AbortSignal): Promise<Map<number, ListedPart> | undefined>
  /** The objects whose keys begin with `prefix`, in the order of their keys. @throws {B2ReadError} `access_denied` if the key may not list */
  list (prefix: string, signal?: AbortSignal): AsyncGenerator<ListedObject>
  /**
   * The object's bytes, all of them or those of `range`, as fast as they are read; undefined if there is no object. When the
   * connection breaks or stalls, the stream continues on another one. Destroying the stream, or `signal`, aborts the request to
   * B2 at once. The stream's errors are B2ReadErrors.
   * @param bytes the size that the file must have; a file of another size is an error
   */
  read (key: string, range?: ByteRange, signal?: AbortSignal, bytes?: number): Promise<Readable | undefined>
}

// The fields of a form are less; a larger object is not a companion.
const LARGEST_COMPANION = 4_194_304 // 4 MiB

const MOST_COMPANIONS = 10

/** @param isForgotten whether what this attempt stored under `key` is to be removed: then it is not found any more */
export function createObjectReader (requests: ReadRequests, bucket: string, isForgotten: (key: string, attempt: string | undefined) => boolean = () => false): ObjectReader {
  async function look (key: string, outer?: AbortSignal): Promise<Looked | undefined> {
    try {
      const { ContentLength = 0, Metadata: metadata, ETag: etag } = await requests.within(outer, async signal =>
        await requests.client.send(new HeadObjectCommand({ Bucket: bucket, Key: key }), signal))
      const attempt = attemptOf(metadata)
      return isForgotten(key, attempt) ? undefined : { key, size: ContentLength, sha256: sha256Of(metadata), attempt, metadata, etag }
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  }

  /** @throws {B2ReadError}, also if the answer is not the requested range. */
  async function open (input: { Key: string, Range?: string, IfMatch?: string }, first: number, signal: AbortSignal, isFirst: boolean): Promise<Opened> {
    const command = withStreamedAnswer(new GetObjectCommand({ Bucket: bucket, ...input }))
    const answer = await requests.send(isFirst ? command : onNewConnection(command), signal)
    const body = answer.Body as Readable
    const end = endOf(answer, first, input.Range !== undefined)
    if (end !== undefined) return { body, end, etag: answer.ETag, attempt: attemptOf(answer.Metadata) }
    throw otherBytes(body)
  }

  function otherBytes (body: Readable): B2ReadError {
    body.on('error', () => {}).destroy()
    return requests.failure(Object.assign(new Error('B2 answered with other bytes than were asked for.'), { name: 'IncompleteAnswer' }))
  }

  async function read (Key: string, range?: ByteRange, outer?: AbortSignal, bytes?: number): Promise<Readable | undefined> {
    const scope = requests.scope(outer)
    const first = range?.first ?? 0
    try {
      const { body, end, etag, attempt } = await open({ Key, ...(range === undefined ? {} : { Range: `bytes=${first}-${range.last}` }) }, first, scope.signal, true)
      if (isForgotten(Key, attempt)) {
        body.on('error', () => {}).destroy()
        scope.done()
        return undefined
      }
      if (bytes !== undefined && end - first !== bytes) throw otherBytes(body)
      return new ObjectStream(body, {
        first,
        end,
        scope,
        failure: cause => requests.failure(cause ?? Object.assign(new Error('The answer ended early.'), { name: 'IncompleteAnswer' })),
        reopen: async (next, signal) => {
          const again = await open({ Key, Range: `bytes=${next}-${end - 1}`, ...(etag === undefined ? {} : { IfMatch: etag }) }, next, signal, false)
          return again.body
        },
      })
    } catch (error) {
      scope.done()
      if (isMissing(error)) return undefined
      throw error
    }
  }

  async function readCompanion (object: Looked, signal?: AbortSignal): Promise<Track | undefined> {
    const stream = await read(companionKey(object.key, object.attempt), { first: 0, last: LARGEST_COMPANION - 1 }, signal)
    return stream === undefined ? undefined : trackFromCompanion(object, await bytesOf(stream)) ?? await readOlderCompanion(object, signal)
  }

  /** Another process may have stored the newest one for an object that it could not complete. */
  async function readOlderCompanion (object: Looked, outer?: AbortSignal): Promise<Track | undefined> {
    const Key = companionKey(object.key, object.attempt)
    const { Versions = [] } = await requests.within(outer, async signal =>
      await requests.client.send(new ListObjectVersionsCommand({ Bucket: bucket, Prefix: Key }), signal))
    for (const { VersionId } of Versions.filter(version => version.Key === Key && version.VersionId !== undefined).slice(1, MOST_COMPANIONS)) {
      const { Body } = await requests.within(outer, async signal =>
        await requests.client.send(withStreamedAnswer(new GetObjectCommand({ Bucket: bucket, Key, VersionId })), signal))
      const track = trackFromCompanion(object, await bytesOf(Body as Readable))
      if (track !== undefined) return track
    }
    return undefined
  }

  /** The SDK keeps the difference between B2's clock and this one. */
  function ownTime (time: Date | undefined): number {
    return (time?.getTime() ?? 0) - requests.client.config.systemClockOffset
  }

  /** Tells a missing object from a missing bucket by a GET, as the answer to a HEAD has no body. @throws {B2ReadError} for a missing bucket */
  async function assertBucket (key: string, signal?: AbortSignal): Promise<void> {
    const stream = await read(key, { first: 0, last: 0 }, signal)
    stream?.destroy()
  }

  return {
    read,

    async head (key, signal) {
      const found = await look(key, signal)
      return found === undefined ? undefined : { size: found.size, sha256: found.sha256, attempt: found.attempt }
    },

    async * list (prefix, outer) {
      let ContinuationToken: string | undefined
      do {
        const from = ContinuationToken === undefined ? {} : { ContinuationToken }
        const page: ListObjectsV2CommandOutput = await requests.within(outer, async signal =>
          await requests.client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, ...from }), signal))
        for (const { Key, Size = 0, LastModified } of page.Contents ?? []) {
          yield { key: Key!, size: Size, modifiedAt: ownTime(LastModified) }
        }
        ContinuationToken = page.IsTruncated === true ? page.NextContinuationToken : undefined
      } while (ContinuationToken !== undefined)
    },

    async parts (Key, UploadId, outer) {
      const found = new Map<number, ListedPart>()
      let PartNumberMarker: string | undefined
      do {
        const from = PartNumberMarker === undefined ? {} : { PartNumberMarker }
        try {
          const page: ListPartsCommandOutput = await requests.within(outer, async signal =>
            await requests.client.send(new ListPartsCommand({ Bucket: bucket, Key, UploadId, ...from }), signal))
          for (const { PartNumber, ETag, Size, LastModified } of page.Parts ?? []) {
            found.set(PartNumber!, { etag: ETag!, size: Size!, modifiedAt: ownTime(LastModified) })
          }
          PartNumberMarker = page.IsTruncated === true ? page.NextPartNumberMarker : undefined
        } catch (error) {
          if (error instanceof B2ReadError && error.isUploadGone) return undefined
          if (isMissing(error)) throw requests.failure(Object.assign(new Error('What answered 404 does not say that the upload is gone.'), { name: 'IncompleteAnswer' }))
          throw error
        }
      } while (PartNumberMarker !== undefined)
      return found
    },

    async track (key, signal) {
      const found = await look(key, signal)
      if (found === undefined) {
        await assertBucket(key, signal)
        return undefined
      }
      return trackFromMetadata(key, found.size, found.metadata) ?? await readCompanion(found, signal)
    },
  }
}

interface Looked extends ObjectHead {
  readonly key: string
  readonly metadata: Record<string, string> | undefined
  readonly etag: string | undefined
}

async function bytesOf (stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

interface Opened {
  readonly body: Readable
  /** Position after the last byte that the body gives. */
  readonly end: number
  readonly etag: string | undefined
  readonly attempt: string | undefined
}

/** Undefined if the body is not the requested range, or has no length that would show whether it is complete. */
function endOf ({ ContentLength, ContentRange }: GetObjectCommandOutput, first: number, isRange: boolean): number | undefined {
  if (ContentLength === undefined || (isRange && ContentRange?.startsWith(`bytes ${first}-`) !== true)) return undefined
  return first + ContentLength
}
