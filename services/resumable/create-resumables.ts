import { createHash } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { Readable } from 'node:stream'
import { B2ReadError } from '../b2/read-requests.ts'
import { declaredContentType } from '../intake/content-type.ts'
import { ENDING } from '../intake/receiver.ts'
import type { Receiver, UploadRequest } from '../intake/receiver.ts'
import type { Source } from '../intake/source.ts'
import { inProgress, reused } from '../idempotency/keyed-uploads.ts'
import { baseName, idOfName, isKey, keyedUuid, newKey, uuidv7 } from '../keys.ts'
import { LocalStoreError } from '../local/errors.ts'
import { bothFailed } from '../intake/sinks/both-failed.ts'
import { withFields } from '../log.ts'
import type { Log } from '../log.ts'
import type { Receipt } from '../receipt.ts'
import type { StoredFiles } from '../stored-files.ts'
import { UploadError } from '../upload-errors.ts'
import { ResumableAppend } from './taking/append.ts'
import type { ResumableStores } from './taking/append.ts'
import { AssembledFile } from './taking/assembled.ts'
import { Finder } from './finder.ts'
import { Holds } from './holds.ts'
import type { ResumableInfo } from './stores/info.ts'
import type { Append, NewResumable, Resumables, ResumableStatus } from './resumables.ts'
import { FORGOTTEN, ResumableUpload } from './upload.ts'
import { Upkeep } from './upkeep.ts'

export interface ResumablesOptions {
  readonly stores: ResumableStores
  readonly receiver: Receiver
  readonly stored: StoredFiles
  readonly keyPrefix: string
  readonly maxAgeMs: number
  readonly log: Log
}

/** {@link Resumables}, and what the engine needs of them. */
export interface ResumableService extends Resumables {
  /** Begins to look after unfinished uploads in the background. */
  start (): void
  /** B2 has recovered: what local storage has of unfinished uploads goes there soon. */
  wake (): void
  /** Whether an unfinished upload of this key is known to a store. @throws if that can't be told */
  isUnfinished (key: string): Promise<boolean>
  close (): Promise<void>
}

export function createResumables (options: ResumablesOptions): ResumableService {
  const { stores, receiver, stored, keyPrefix, maxAgeMs, log } = options
  const { b2, disk, remote, breaker, intake: { maxBytes, partBytes } } = stores
  const folder = keyPrefix.slice(0, keyPrefix.lastIndexOf('/') + 1)
  const holds = new Holds()
  const finder = new Finder({ stores, keyOf })
  const upkeep = new Upkeep({ stores, finder, holds, maxAgeMs, log, flush, expire })
  const closing = new AbortController()
  setMaxListeners(0, closing.signal) // each request listens, and there may be many

  /** @throws {UploadError} `not_found` */
  function keyOf (name: string): string {
    const key = `${folder}${name}`
    if (!isKey(keyPrefix, key)) throw notFound()
    return key
  }

  /** The upload, or the file that it has become. @param offset that a client goes on from: if that is known here, no store is asked */
  async function find (name: string, caller: string | undefined, offset?: number): Promise<ResumableUpload | Receipt> {
    const upload = await finder.find(name, offset)
    if (upload === undefined) return await completed(name)
    if (upload.info.caller !== markOf(caller)) throw notFound()
    if (!isExpired(upload)) return upload
    await end(upload, 'expired', log)
    throw gone()
  }

  async function completed (name: string): Promise<Receipt> {
    try {
      return await stored.receipt(name)
    } catch (error) {
      throw error instanceof UploadError && error.error_code === 'not_found' && finder.wasHere(name) ? gone() : error
    }
  }

  async function existing (name: string, { filename: given, length, caller }: Pick<NewResumable, 'filename' | 'length' | 'caller'>): Promise<ResumableStatus | undefined> {
    const found = await find(name, caller).catch((error: unknown) => {
      if (error instanceof UploadError && error.error_code === 'not_found') return undefined
      throw error
    })
    if (found === undefined) {
      if (await b2?.hasLeftovers(keyOf(name), remote!.folder(name)) === true) throw inProgress('What an earlier upload with this Idempotency-Key left is not removed yet.')
      return undefined
    }
    const [status, filename] = found instanceof ResumableUpload ? [statusOf(found), found.info.filename] : [statusOfFile(name, found), found.track.filename]
    const asked = baseName(given)
    if (filename !== asked) throw reused(`It came with the file "${filename}", and now with "${asked}".`)
    if (length !== undefined && status.length !== undefined && length !== status.length) throw reused(`It came with a file of ${status.length} bytes, and now with one of ${length}.`)
    return status
  }

  function isExpired ({ touchedAt }: ResumableUpload): boolean {
    return touchedAt + maxAgeMs <= Date.now()
  }

  function statusOf (upload: ResumableUpload): ResumableStatus {
    const { name, offset, info: { length, metadata }, touchedAt } = upload
    return { name, offset, length: length ?? undefined, metadata, expiresAt: touchedAt + maxAgeMs, receipt: undefined }
  }

  function statusOfFile (name: string, receipt: Receipt): ResumableStatus {
    const { size_bytes: size, filename, content_type: filetype, metadata } = receipt.track
    return { name, offset: size, length: size, metadata: { filename, filetype, ...metadata }, expiresAt: undefined, receipt }
  }

  async function create (name: string, upload: NewResumable, { correlationId, log: own }: UploadRequest): Promise<ResumableStatus> {
    receiver.assertAccepting()
    const key = keyOf(name)
    const declaredType = declaredContentType(upload.contentType)
    const info: ResumableInfo = {
      key,
      id: idOfName(name)!,
      filename: baseName(upload.filename),
      ...(declaredType === undefined ? {} : { declared_type: declaredType }),
      metadata: { ...upload.metadata },
      fields: { ...upload.fields },
      length: upload.length ?? null,
      part_bytes: partBytes,
      caller: markOf(upload.caller),
      ...(upload.sha256 === undefined ? {} : { sha256: upload.sha256 }),
      created_at: new Date().toISOString(),
      correlation_id: correlationId,
    }
    const created = new ResumableUpload(name, info, FORGOTTEN)
    if (!await putInfo(created, { correlationId, log: own })) {
      try {
        await disk.save(name, created.state)
        created.isSaved = true
      } catch (error) {
        throw error instanceof LocalStoreError ? bothFailed(breaker.lastError ?? undefined, error) : error
      }
    }
    finder.add(created)
    return statusOf(created)
  }

  /** False if B2 can't take it now. */
  async function putInfo (upload: ResumableUpload, context: { readonly correlationId: string, readonly log: Log }): Promise<boolean> {
    const permit = remote && breaker.tryAcquire(true, context.log)
    if (remote === undefined || permit === undefined) return false
    try {
      const result = await remote.putInfo(upload.name, upload.info, context, closing.signal)
      upload.hasRemoteInfo = result.ok
      if (result.ok) permit.succeed()
      else permit.fail(result)
      return result.ok
    } finally {
      permit.release()
    }
  }

  async function receive (name: string, { filename, contentType, fields, sha256 }: NewResumable, source: Source, request: UploadRequest): Promise<ResumableStatus> {
    const receipt = await receiver.receive({ ...source, filename, contentType, complete: async () => ({ ...fields }), verify: verifier(sha256, source) }, request, idOfName(name)!)
    return statusOfFile(name, receipt)
  }

  async function append (name: string, caller: string | undefined, { offset, source, length }: Append, request: UploadRequest): Promise<ResumableStatus> {
    const upload = await find(name, caller, offset)
    if (!(upload instanceof ResumableUpload)) return statusOfFile(name, upload)
    if (offset !== upload.offset) throw new UploadError('invalid_request', `The upload goes on at byte ${upload.offset}.`, { statusCode: 409, hints: ['Ask for the offset with HEAD, and send what follows it.'] })
    if (length !== undefined) {
      upload.info = { ...upload.info, length }
      upload.hasRemoteInfo = false
    }
    try {
      const receipt = await take(upload, source, request)
      if (receipt === undefined) return statusOf(upload)
      finder.complete(name)
      return statusOfFile(name, receipt)
    } catch (error) {
      if (error instanceof UploadError && ENDING.has(error.error_code)) await end(upload, undefined, request.log)
      else if (error instanceof UploadError && (error.statusCode === 409 || error.cause instanceof LocalStoreError)) finder.forget(name)
      throw error
    }
  }

  async function take (upload: ResumableUpload, given: Source, request: UploadRequest): Promise<Receipt | undefined> {
    const { info: { length, filename, declared_type: contentType, fields, sha256 }, name } = upload
    const source: Source = { ...given, verify: verifier(sha256, given) }
    const context = { correlationId: request.correlationId, log: request.log }
    if (length === 0) {
      const receipt = await receiver.receive({ ...source, filename, contentType, complete: async () => ({ ...fields }) }, request, idOfName(name)!)
      await end(upload, undefined, request.log)
      return receipt
    }
    return await receiver.append(source, request, signal => {
      const work = upload.isAssembled ? new AssembledFile(stores, upload, source, context, signal) : new ResumableAppend(stores, upload, source, context, signal)
      holds.watch(name, () => work.silentMs, () => work.fail(new UploadError('invalid_request', 'Another request goes on with the upload.')))
      return work
    })
  }

  /** Sends what local storage has of an upload to B2. */
  async function flush (name: string): Promise<void> {
    const upload = await finder.find(name)
    if (upload === undefined || !upload.isSaved) return
    const context = { correlationId: upload.info.correlation_id, log: withFields(log, { correlation_id: upload.info.correlation_id }) }
    const source: Source = { stream: Readable.from([]), expectedBytes: 0, complete: async () => ({}) }
    await new ResumableAppend(stores, upload, source, context, closing.signal).run()
  }

  async function expire (name: string, modifiedAt?: number): Promise<void> {
    const upload = await finder.find(name)
    if (upload === undefined) {
      // What a completed or ended one left, if its process was killed; or the tail of a split file, perhaps of another instance, which is kept as long as its parts.
      const keptMs = b2?.unfinishedMaxAgeMs ?? 0
      if (modifiedAt !== undefined && keptMs > 0 && modifiedAt + keptMs <= Date.now()) b2?.removeBelow(remote!.folder(name))
      return
    }
    if (isExpired(upload)) await end(upload, 'expired', withFields(log, { correlation_id: upload.info.correlation_id }))
  }

  /** Removes all of an unfinished upload. @param reason for the log; undefined if something else is logged of it */
  async function end (upload: ResumableUpload, reason: 'expired' | 'terminated' | undefined, own: Log): Promise<void> {
    const { name, info: { key, upload_id: uploadId, correlation_id: correlationId } } = upload
    if (b2 !== undefined && remote !== undefined) {
      if (uploadId !== undefined) await b2.endLater(key, uploadId, correlationId)
      await b2.noteBelow(remote.folder(name), correlationId)
    }
    if (upload.isSaved) await disk.remove(name)
    finder.end(name)
    if (reason !== undefined) own.info({ event: 'upload.aborted', reason, location: key, size_bytes: upload.offset }, reason === 'expired' ? 'an unfinished upload was removed, as nothing more came' : 'the client ended its upload')
  }

  return {
    maxBytes,
    maxAgeMs,
    get count () { return finder.count },
    hold: async name => await holds.take(name),
    newName: (filename, key) => newKey(keyPrefix.slice(folder.length), key === undefined ? uuidv7() : keyedUuid(key.caller, key.idempotencyKey, 'resumable'), baseName(filename)),
    existing: async (name, upload) => await explained(existing(name, upload)),
    create,
    receive,

    async status (name, caller, offset) {
      const found = await explained(find(name, caller, offset))
      return found instanceof ResumableUpload ? statusOf(found) : statusOfFile(name, found)
    },

    append: async (name, caller, piece, request) => await explained(append(name, caller, piece, request)),

    async remove (name, caller, request) {
      const found = await explained(find(name, caller))
      if (!(found instanceof ResumableUpload)) {
        throw new UploadError('invalid_request', 'The upload is complete.', { hints: ['To remove the file, send DELETE to the address in Content-Location.'] })
      }
      await explained(end(found, 'terminated', request.log))
    },

    start: () => upkeep.start(),
    wake: () => upkeep.wake(),

    async isUnfinished (key) {
      return finder.isKnown(key.slice(folder.length)) || await remote?.hasInfo(key.slice(folder.length)) === true
    },

    async close () {
      closing.abort()
      await upkeep.close()
    },
  }
}

/** A caller as it is written down: who can read the bucket need not know who it is. */
function markOf (caller: string | undefined): string | null {
  return caller === undefined ? null : createHash('sha256').update(`fastify-b2-uploads resumable ${caller}`).digest('hex')
}

/** Checks the digest that the client gave when it created the upload, beside that of the request. */
function verifier (expected: string | undefined, { verify }: Source): (sha256: string) => void {
  return sha256 => {
    verify?.(sha256)
    if (expected !== undefined && sha256 !== expected) throw new UploadError('digest_mismatch', `The file's sha256 is ${sha256}, and its digest says ${expected}.`)
  }
}

/** What a store's failure means for a client. */
async function explained<Result> (work: Promise<Result>): Promise<Result> {
  try {
    return await work
  } catch (error) {
    if (error instanceof B2ReadError) throw unavailable(`B2 could not be asked for it. ${error.detail}.`, error)
    if (error instanceof LocalStoreError) throw unavailable(`${error.message}.`, error)
    throw error
  }
}

function unavailable (detail: string, cause: Error): UploadError {
  return new UploadError('storage_unavailable', detail, {
    error: 'The store that has the upload, or may have it, is out of reach.',
    hints: ['Try again after the time in Retry-After: what was sent is kept.'],
    cause,
  })
}

function notFound (): UploadError {
  return new UploadError('not_found', 'There is no upload of this name.', { hints: ['Check the address: it is in the Location of the answer that created the upload.'] })
}

function gone (): UploadError {
  return new UploadError('not_found', 'The upload was ended, or nothing came for too long.', { statusCode: 410, hints: ['Create a new upload.'] })
}
