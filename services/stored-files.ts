import { addAbortSignal, finished } from 'node:stream'
import type { Readable } from 'node:stream'
import { B2ReadError } from './b2/read-requests.ts'
import type { B2Store } from './b2/store.ts'
import { bytesOf } from './downloads/byte-range.ts'
import type { ByteRange } from './downloads/byte-range.ts'
import { isKey } from './keys.ts'
import { errnoOf } from './disk/errors.ts'
import { objectsBelow } from './local/manifest.ts'
import { LocalStoreError, toLocalStoreError } from './local/errors.ts'
import type { LocalStore } from './local/store.ts'
import type { Promoter } from './promotion/promoter.ts'
import type { Receipt, StoredSplit, Track } from './receipt.ts'
import { UnderWay } from './tasks/under-way.ts'
import { UploadError } from './upload-errors.ts'

/** A stored file. */
export interface StoredFile {
  /** Where it is now, and what it is. */
  readonly receipt: Receipt
  /**
   * Its bytes, or those of a range, from whichever store has them by then, at the reader's pace. Whoever asked for the stream
   * reads or destroys it; `signal` does that, too. It ends without an error only after its last byte; its errors are UploadErrors.
   * @throws {@link UploadError} `range_not_satisfiable`, `not_found`, `storage_unavailable`
   */
  open (range?: ByteRange, signal?: AbortSignal): Promise<Readable>
}

/** A file that is being read. */
export interface StoredContent {
  /** Where it was when it was asked for, and what it is. */
  readonly receipt: Receipt
  /** Bytes that the stream gives. */
  readonly size: number
  /** To be read or destroyed. See {@link StoredFile.open}. */
  readonly stream: Readable
}

/** Files that have been acknowledged, by the last segment of their keys, wherever they are. */
export interface StoredFiles {
  /**
   * @param signal ends the request to B2
   * @throws {UploadError} `not_found`; `storage_unavailable` if it is not here, or can't be read here, and B2 can't be asked
   */
  find (name: string, signal?: AbortSignal): Promise<StoredFile>
  /**
   * Where a file is now, and what it is. Its name is the last segment of its key.
   * @throws {@link UploadError} `not_found`; `storage_unavailable` if B2 has to be asked and can't be
   */
  receipt (name: string): Promise<Receipt>
  /**
   * A file's bytes, or those of a range. `signal` ends the stream.
   * @throws {@link UploadError} `range_not_satisfiable`, `not_found`, `storage_unavailable`
   */
  content (name: string, range?: ByteRange, signal?: AbortSignal): Promise<StoredContent>
  /**
   * Removes a file from both stores, with all its versions, its receipt and a promotion. It also resolves if there is no
   * such file (any more), and if a file that is here could not be removed from B2 yet: that is written down.
   * @param correlationId of who asks for it, for what is logged of it later
   * @param allows asked about the file right before (undefined if there is none); if it says no, nothing is removed. A file's content never
   * changes, so its answer stays true
   * @throws {@link UploadError} `not_found` if `name` can't be the name of a file; `precondition_failed`; `storage_unavailable` if it may still be stored
   */
  remove (name: string, correlationId?: string, allows?: (track: Track | undefined) => boolean): Promise<void>
  /** Gives the streams being read `graceMs` to end, and aborts the rest. */
  close (graceMs: number): Promise<void>
}

type ReadableB2 = Pick<B2Store, 'track' | 'read' | 'remove' | 'end' | 'endLater' | 'noteBelow' | 'forgetDeleted' | 'mayReturn' | 'isForgotten' | 'isRemoving'>

const UNREADABLE = { manifest: undefined, attempt: undefined }

interface Deletion {
  /** Whether the file, or its receipt, was in local storage. */
  readonly isHere: boolean
  /** Whether another process may be promoting it without a claim. */
  readonly isUnclaimed: boolean
  /** Whether the deletion is written down. */
  readonly isNoted: boolean
  /** The unfinished upload of a split file. */
  readonly uploadId: string | undefined
  /** Of the file in local storage, if other uploads may have the same key. */
  readonly attempt: string | undefined
  readonly correlationId: string | undefined
}

export interface StoredFilesOptions {
  /** Undefined in local-only mode. */
  readonly b2: ReadableB2 | undefined
  readonly local: Pick<LocalStore, 'find' | 'openFile' | 'remove' | 'removeFile' | 'isClaimedElsewhere'>
  /** Put before every name. */
  readonly keyPrefix: string
  readonly promoter: Pick<Promoter, 'stopWriting'>
}

export function createStoredFiles ({ b2, local, keyPrefix, promoter }: StoredFilesOptions): StoredFiles {
  const folder = keyPrefix.slice(0, keyPrefix.lastIndexOf('/') + 1)
  const streams = new UnderWay<Readable>()

  function keyOf (name: string): string {
    const key = `${folder}${name}`
    if (!isKey(keyPrefix, key)) throw notFound()
    return key
  }

  /**
   * Asks local storage, then B2, then local storage once more: a file on its way from one to the other is found at each moment.
   * One that can't be read here may be in B2, too; if it is not, the failure here counts.
   */
  async function fromEither<Found extends object> (
    key: string, here: () => Promise<Found | undefined>, there: (b2: ReadableB2) => Promise<Found | undefined>
  ): Promise<Found> {
    try {
      let trouble: unknown
      const found = await here().catch((error: unknown) => { trouble = error })
      if (found) return found
      const stored = b2 === undefined || b2.isForgotten(key) ? undefined : await there(b2).catch((error: unknown) => { throw trouble instanceof UploadError ? trouble : error })
      if (stored !== undefined) return stored
      if (trouble !== undefined) throw trouble
      const again = await here()
      if (again !== undefined) return again
    } catch (error) {
      throw unavailable(error)
    }
    throw notFound()
  }

  async function find (name: string, signal?: AbortSignal): Promise<StoredFile> {
    const key = keyOf(name)
    const receipt = await fromEither<Receipt>(
      key,
      async () => (await local.find(key))?.receipt,
      async b2 => {
        const track = await b2.track(key, signal)
        return track && { storage: 'b2', location: key, track }
      })
    return { receipt, open: async (range, readerSignal) => await open(receipt, range, readerSignal) }
  }

  async function open (receipt: Receipt, range?: ByteRange, signal?: AbortSignal): Promise<Readable> {
    const { key, size_bytes: size } = receipt.track
    if (range !== undefined && !isWithin(range, size)) {
      throw new UploadError('range_not_satisfiable', `The file has ${size} bytes.`)
    }
    const stream = await fromEither<Readable>(key, () => openHere(receipt, range), async b2 => await b2.read(key, range, signal, bytesOf(size, range)))
    signal?.throwIfAborted()
    explainErrors(stream, unavailable, signal)
    streams.add(stream)
    finished(stream, () => streams.done(stream))
    return signal === undefined ? stream : addAbortSignal(signal, stream)
  }

  async function openHere (receipt: Receipt, range?: ByteRange): Promise<Readable | undefined> {
    const { key, size_bytes: size } = receipt.track
    const file = await local.openFile(key)
    if (file === undefined) {
      // Joined meanwhile, or soon.
      const found = receipt.storage === 'split' ? await local.find(key) : undefined
      if (found?.receipt.storage === 'split') throw notJoined(found.receipt, found.setAside)
      return undefined
    }
    if (file.size === size) return file.streamForReader(range)
    await file.close()
    throw new LocalStoreError('The file in local storage is damaged: its size is not that of its receipt', { error_code: 'io_error' })
  }

  async function remove (name: string, correlationId?: string, allows?: (track: Track | undefined) => boolean): Promise<void> {
    const key = keyOf(name)
    if (allows?.(await trackIfAny(name)) === false) {
      throw new UploadError('precondition_failed', 'The file is not the one that the conditions of the request demand.')
    }
    try {
      // A receipt that can't be read is one.
      const found = await local.find(key).catch(() => UNREADABLE)
      const isHere = found !== undefined
      // The file first: what is still here would be promoted, and must not be removed from B2. Its receipt stays until the deletion is
      // written down, if that is necessary, so that a kill in between loses nothing.
      const uploadId = found?.manifest?.upload_id
      const attempt = found?.attempt
      const below = found?.manifest && objectsBelow(found.manifest)
      const isUnclaimed = await local.removeFile(key) || b2?.mayReturn(key) === true
      // Only the receipt names the upload that B2 keeps.
      if (uploadId !== undefined && b2 !== undefined && !await b2.endLater(key, uploadId, correlationId)) await b2.end(key, uploadId)
      if (below !== undefined) await b2?.noteBelow(below, correlationId)
      const isNoted = isUnclaimed && await b2?.forgetDeleted(key, true, correlationId, attempt) === true
      await local.remove(key)
      await promoter.stopWriting(key)
      if (b2 !== undefined) await removeFromB2(b2, key, { isHere, isUnclaimed, isNoted, uploadId, attempt, correlationId })
    } catch (error) {
      throw unavailable(error)
    }
  }

  async function trackIfAny (name: string): Promise<Track | undefined> {
    try {
      return (await find(name)).receipt.track
    } catch (error) {
      if (error instanceof UploadError && error.error_code === 'not_found') return undefined
      throw error
    }
  }

  async function removeFromB2 (b2: ReadableB2, key: string, { isHere, isUnclaimed, isNoted, uploadId, attempt, correlationId }: Deletion): Promise<void> {
    // Another process may be promoting it just now, and end before it notices: what it still brings to B2 is removed after that.
    if (!isNoted && (isUnclaimed || await local.isClaimedElsewhere(key)) && !await b2.forgetDeleted(key, isUnclaimed, correlationId, attempt)) {
      throw new LocalStoreError('That the file was deleted could not be written down in local storage, and another process may be moving it to B2', { error_code: 'disk_full' })
    }
    try {
      // Before the object: a completion may still be under way.
      if (uploadId !== undefined) await b2.end(key, uploadId)
      await b2.remove(key)
    } catch (error) {
      const isKnown = isHere || b2.isRemoving(key)
      if (!isKnown || !await b2.forgetDeleted(key, isUnclaimed, correlationId, attempt)) throw error
    }
  }

  return {
    find,
    remove,

    async receipt (name) {
      return (await find(name)).receipt
    },

    async content (name, range, signal) {
      const { receipt, open } = await find(name, signal)
      return { receipt, size: bytesOf(receipt.track.size_bytes, range), stream: await open(range, signal) }
    },

    async close (graceMs) {
      await streams.stop(graceMs, stream => stream.destroy(new UploadError('shutting_down', 'The service is shutting down and the file was not read to its end.')))
    },
  }
}

function isWithin ({ first, last }: ByteRange, size: number): boolean {
  return Number.isSafeInteger(first) && Number.isSafeInteger(last) && first >= 0 && first <= last && last < size
}

function notJoined ({ split: { b2_bytes, local_bytes } }: StoredSplit, setAside: string | undefined): UploadError {
  if (setAside !== undefined) return out(`${local_bytes} bytes of it are in local storage, and the others could not be joined with them in B2: ${setAside}.`)
  return out(`B2 has ${b2_bytes} bytes of it, and the other ${local_bytes} are in local storage until B2 takes them. It can be read as soon as they are joined in B2.`)
}

function notFound (): UploadError {
  return new UploadError('not_found', 'There is no file of this name.', { hints: ['Check the name: it is the last segment of the key in the answer to the upload.'] })
}

/** What a store's failure means for a reader or a deletion; other errors are passed on. */
function unavailable (error: unknown): Error {
  if (error instanceof B2ReadError) return out(`B2 could not be asked for it. ${error.detail}.`, error)
  if (!(error instanceof LocalStoreError) && errnoOf(error) === undefined) return error as Error
  const cause = toLocalStoreError(error, 'The file could not be read from local storage')
  return out(`${cause.message}.`, cause)
}

function out (detail: string, cause?: Error): UploadError {
  return new UploadError('storage_unavailable', detail, {
    error: 'The store that has the file, or may have it, is out of reach.',
    hints: ['Try again after the time in Retry-After.'],
    ...(cause === undefined ? {} : { cause }),
  })
}

/**
 * Lets a stream fail with what `explain` makes of its errors; a stream that `signal` aborted fails, too. This needs no second stream, which would
 * hold bytes.
 */
function explainErrors (stream: Readable, explain: (error: Error) => Error, signal?: AbortSignal): void {
  const destroy = stream._destroy.bind(stream)
  stream._destroy = (error, done) => destroy(error, failed => {
    if (failed != null) done(explain(failed))
    else done(signal?.aborted === true && !stream.readableEnded ? Object.assign(new Error('The operation was aborted', { cause: signal.reason }), { name: 'AbortError', code: 'ABORT_ERR' }) : null)
  })
}
