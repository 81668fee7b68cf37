import {
  AbortMultipartUploadCommand, DeleteObjectCommand, HeadObjectCommand, ListMultipartUploadsCommand, ListObjectVersionsCommand, ListPartsCommand,
} from '@aws-sdk/client-s3'
import type { HeadObjectCommandOutput, ListMultipartUploadsCommandOutput, ListObjectVersionsCommandOutput, ListPartsCommandOutput } from '@aws-sdk/client-s3'
import type { B2Client, B2Command } from '../http/client.ts'
import { describeFailure } from '../error-codes.ts'
import { isKeyed } from '../../keys.ts'
import { attemptOf, companionKey, keyOfFile } from '../object-receipt.ts'

/** A multipart upload that is neither completed nor aborted. */
export interface UnfinishedUpload {
  readonly key: string
  readonly uploadId: string
  /** Unix time in milliseconds by this machine's clock; undefined if the server doesn't say. */
  readonly initiatedAt: number | undefined
}

/** An object of a key that several uploads may have. */
export interface StoredAttempt {
  readonly key: string
  /** Undefined if the server keeps no versions and the key may not list. */
  readonly versionId: string | undefined
  /** Undefined if it has none. */
  readonly attempt: string | undefined
  /** Unix time in milliseconds by this machine's clock, if the server says it. */
  readonly storedAt: number | undefined
}

interface Version {
  readonly key: string
  readonly versionId: string
  readonly isHideMarker: boolean
  /** If it is known. */
  readonly attempt?: string | undefined
  /** See {@link StoredAttempt.storedAt}. */
  readonly storedAt?: number | undefined
}

// A key belongs to one upload, so it has few versions. One that comes back each time must not keep others waiting.
const MOST_VERSIONS = 1_000

export interface RemoverOptions {
  readonly client: B2Client
  readonly bucket: string
  /** Aborts all requests. */
  readonly signal: AbortSignal
}

/** Removes things from B2. All methods reject with what the client throws; what is gone already is not an error. */
export class Remover {
  readonly #options: RemoverOptions

  constructor (options: RemoverOptions) {
    this.#options = options
  }

  /**
   * Removes an object and its companion for good, version by version: a DELETE without a version id would only hide them.
   * Calls `isAllowed` after the listing, before each removal.
   * @param attempt whose object it is; what others have stored under the key stays. Default: all is removed
   * @returns false if it was not allowed
   */
  async removeObject (key: string, isAllowed: () => Promise<boolean>, attempt?: string): Promise<boolean> {
    for await (const version of this.#allVersions(key, attempt)) {
      if (attempt !== undefined && version.key === key && await this.#attemptOf(version) !== attempt) continue
      if (!await isAllowed()) return false
      await this.#removeVersion(version)
    }
    return true
  }

  /**
   * Removes all versions of an object but the newest, and the same of its companions. Hide markers stay: this service makes none. Of a keyed file
   * those stay, too, that another attempt has stored: which of the attempts has won is not decided here.
   */
  async removeDoubles (key: string): Promise<void> {
    const versions = (await this.#listVersions(key)).filter(({ isHideMarker }) => !isHideMarker)
    const seen = new Set<string>()
    for (const version of versions) {
      const isDecided = version.key !== key || !isKeyed(key)
      const own = isDecided ? version.key : `${version.key} ${await this.#attemptOf(version) ?? ''}`
      if (seen.has(own)) await this.#removeVersion(version)
      seen.add(own)
    }
  }

  /** Removes every version of all objects whose keys begin with `prefix`: the last ones first, and of each the oldest, so that nothing older becomes visible. */
  async removeBelow (prefix: string): Promise<void> {
    for (const version of (await this.#listBelow(prefix)).reverse()) await this.#removeVersion(version)
  }

  /** Aborts the unfinished uploads of `key` itself that began until `time` (Unix time in milliseconds), but the one `except`. */
  async abortBegunUntil (time: number, key: string, except?: string): Promise<void> {
    for await (const upload of this.unfinishedUploads(key)) {
      if (upload.key === key && upload.uploadId !== except && (upload.initiatedAt ?? -Infinity) <= time) await this.abort(upload)
    }
  }

  /**
   * The objects of a key, newest first. A key that may not list sees the newest alone.
   * @param known the attempt of one of them, which needs no request then
   */
  async attempts (key: string, known?: { readonly versionId: string, readonly attempt: string }): Promise<StoredAttempt[]> {
    try {
      const found: StoredAttempt[] = []
      for (const version of await this.#listVersions(key)) {
        const { versionId, storedAt } = version
        if (version.key !== key || version.isHideMarker) continue
        const isKnown = versionId === known?.versionId
        const head = isKnown ? undefined : await this.#head(version)
        if (isKnown || head !== undefined) found.push({ key, versionId, storedAt, attempt: isKnown ? known.attempt : attemptOf(head?.Metadata) })
      }
      return found
    } catch (error) {
      // Some servers can't list versions.
      if (!['access_denied', 'invalid_request'].includes(describeFailure(error).error_code)) throw error
      const head = await this.#sendUnlessGone(new HeadObjectCommand({ Bucket: this.#options.bucket, Key: key }))
      return head === undefined ? [] : [{ key, versionId: head.VersionId, attempt: attemptOf(head.Metadata), storedAt: this.#ownTime(head.LastModified) }]
    }
  }

  async removeAttempts (objects: readonly StoredAttempt[]): Promise<void> {
    for (const { key, versionId } of objects) if (versionId !== undefined) await this.#removeVersion({ key, versionId, isHideMarker: false })
  }

  /** Removes the receipt that is beside the object of an attempt, if there is one. */
  async removeCompanion (key: string, attempt: string): Promise<void> {
    await this.removeObject(companionKey(key, attempt), async () => true)
  }

  async abort ({ key: Key, uploadId: UploadId }: Pick<UnfinishedUpload, 'key' | 'uploadId'>): Promise<void> {
    await this.#sendUnlessGone(new AbortMultipartUploadCommand({ Bucket: this.#options.bucket, Key, UploadId }))
  }

  /** The unfinished uploads of all keys that begin with `prefix`. */
  async * unfinishedUploads (prefix: string): AsyncGenerator<UnfinishedUpload> {
    let from: { KeyMarker?: string | undefined, UploadIdMarker?: string | undefined } | undefined = {}
    while (from !== undefined) {
      const page: ListMultipartUploadsCommandOutput =
        await this.#send(new ListMultipartUploadsCommand({ Bucket: this.#options.bucket, Prefix: prefix, ...from }))
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        if (Key !== undefined && UploadId !== undefined) yield { key: Key, uploadId: UploadId, initiatedAt: this.#ownTime(Initiated) }
      }
      from = page.IsTruncated === true ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker } : undefined
    }
  }

  /** When the newest part of an upload came (Unix time in milliseconds); undefined if it has none, or is over. */
  async lastPartAt ({ key: Key, uploadId: UploadId }: UnfinishedUpload): Promise<number | undefined> {
    let last: number | undefined
    let from: { PartNumberMarker?: string | undefined } | undefined = {}
    while (from !== undefined) {
      const page: ListPartsCommandOutput | undefined =
        await this.#sendUnlessGone(new ListPartsCommand({ Bucket: this.#options.bucket, Key, UploadId, ...from }))
      for (const { LastModified } of page?.Parts ?? []) last = Math.max(last ?? 0, this.#ownTime(LastModified) ?? 0)
      from = page?.IsTruncated === true ? { PartNumberMarker: page.NextPartNumberMarker } : undefined
    }
    return last
  }

  /** Oldest first and hide markers last, so that nothing older becomes visible if a removal fails. */
  async * #allVersions (key: string, attempt: string | undefined): AsyncGenerator<Version> {
    let versions: Version[]
    try {
      versions = await this.#listVersions(key)
    } catch (error) {
      if (describeFailure(error).error_code !== 'access_denied') throw error
      yield * this.#allVisible(key, attempt, error)
      return
    }
    const companions = attempt === undefined ? versions.map(version => version.key) : [companionKey(key, attempt)]
    for (const own of new Set([key, ...companions])) {
      const ofOwn = versions.filter(({ key }) => key === own)
      yield * ofOwn.filter(({ isHideMarker }) => !isHideMarker).reverse()
      yield * ofOwn.filter(({ isHideMarker }) => isHideMarker)
    }
  }

  /** For an application key that may not list. */
  async * #allVisible (key: string, attempt: string | undefined, refusal: unknown): AsyncGenerator<Version> {
    const attempts = new Set([attempt])
    for await (const version of this.#visibleVersions(key, refusal)) {
      attempts.add(version.attempt)
      yield version
      // It hides what is older.
      if (attempt !== undefined && version.attempt !== attempt) break
    }
    if (attempt !== undefined) yield * this.#visibleVersions(companionKey(key, attempt), refusal)
    else for (const each of attempts) yield * this.#visibleVersions(companionKey(key, each), refusal)
  }

  /** Finds one version after the other. The caller removes each before the next. */
  async * #visibleVersions (key: string, refusal: unknown): AsyncGenerator<Version> {
    for (let count = 0; count < MOST_VERSIONS; count++) {
      const head = await this.#sendUnlessGone(new HeadObjectCommand({ Bucket: this.#options.bucket, Key: key }))
      if (head === undefined) return
      if (head.VersionId === undefined) throw refusal
      yield { key, versionId: head.VersionId, isHideMarker: false, attempt: attemptOf(head.Metadata) }
    }
    throw refusal
  }

  /** The attempt that stored a version; undefined if it is gone. */
  async #attemptOf (version: Version): Promise<string | undefined> {
    if (version.isHideMarker || version.attempt !== undefined) return version.attempt
    return attemptOf((await this.#head(version))?.Metadata)
  }

  async #head ({ key: Key, versionId: VersionId }: Version): Promise<HeadObjectCommandOutput | undefined> {
    return await this.#sendUnlessGone(new HeadObjectCommand({ Bucket: this.#options.bucket, Key, VersionId }))
  }

  /** The versions of `key` and of its companions. */
  async #listVersions (key: string): Promise<Version[]> {
    return (await this.#listBelow(key)).filter(version => keyOfFile(version.key) === keyOfFile(key))
  }

  /** The versions of all keys that begin with `prefix`: newest first, as S3 lists them, but a page's hide markers last. */
  async #listBelow (prefix: string): Promise<Version[]> {
    const found: Version[] = []
    let from: { KeyMarker?: string | undefined, VersionIdMarker?: string | undefined } | undefined = {}
    while (from !== undefined) {
      const page: ListObjectVersionsCommandOutput =
        await this.#send(new ListObjectVersionsCommand({ Bucket: this.#options.bucket, Prefix: prefix, ...from }))
      for (const [isHideMarker, list] of [[false, page.Versions ?? []], [true, page.DeleteMarkers ?? []]] as const) {
        for (const { Key, VersionId, LastModified } of list) {
          if (Key !== undefined && VersionId !== undefined) found.push({ key: Key, versionId: VersionId, isHideMarker, storedAt: this.#ownTime(LastModified) })
        }
      }
      from = page.IsTruncated === true ? { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker } : undefined
    }
    return found
  }

  async #removeVersion ({ key: Key, versionId: VersionId }: Version): Promise<void> {
    await this.#sendUnlessGone(new DeleteObjectCommand({ Bucket: this.#options.bucket, Key, VersionId }))
  }

  /** B2's time on this machine's clock: the SDK keeps the difference, by the Date header of B2's answers. */
  #ownTime (time: Date | undefined): number | undefined {
    return time === undefined ? undefined : time.getTime() - this.#options.client.config.systemClockOffset
  }

  async #send<Output extends object> (command: B2Command<Output>): Promise<Output> {
    return await this.#options.client.send(command, this.#options.signal)
  }

  /** Undefined if B2 doesn't know what the command is about. */
  async #sendUnlessGone<Output extends object> (command: B2Command<Output>): Promise<Output | undefined> {
    try {
      return await this.#send(command)
    } catch (error) {
      const { status, error_code } = describeFailure(error)
      if (status === 404 && error_code !== 'bucket_not_found') return undefined
      throw error
    }
  }
}
