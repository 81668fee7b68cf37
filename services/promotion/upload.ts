import { createHash } from 'node:crypto'
import { needsCompanion, objectMetadata } from '../b2/object-receipt.ts'
import type { B2ObjectInfo, B2PartsUpload, B2Store, B2UploadFailure } from '../b2/store.ts'
import type { BufferPool } from '../memory/buffer-pool.ts'
import type { CircuitBreaker, Permit } from '../circuit-breaker.ts'
import type { LocalStore, OpenFile } from '../local/store.ts'
import type { UploadContext } from '../log.ts'
import { CircuitOpen, DamagedFile, WriteFailed } from './outcome.ts'
import type { PromotionMemory } from './memory.ts'
import { PromotionParts } from './parts.ts'
import type { Track } from '../receipt.ts'

/** What a promotion needs. */
export interface PromotionStores {
  readonly b2: B2Store
  readonly local: LocalStore
  readonly breaker: CircuitBreaker
  readonly memory: PromotionMemory
  readonly pool: BufferPool
}

export interface PromotionUploadOptions {
  readonly track: Track
  /** Tells the file from others that may be stored under the same key. */
  readonly attempt?: string | undefined
  /** The file's upload, for the log. */
  readonly context: UploadContext | undefined
  /** Stops it at the next safe point: a request that may store the object at any moment is waited for. */
  readonly stop: AbortSignal
  /** Stops it at once; `stop` has fired before. */
  readonly abort: AbortSignal
  /** Called with the number of bytes that B2 has so far. */
  onBytes (bytes: number): void
}

/** Sends a local file to B2, through one buffer of a part's size, and makes sure that it is the file that was acknowledged. */
export class PromotionUpload {
  readonly #stores: PromotionStores
  readonly #options: PromotionUploadOptions
  readonly #object: B2ObjectInfo
  /** Of all that was read. */
  readonly #hash = createHash('sha256')

  constructor (stores: PromotionStores, options: PromotionUploadOptions) {
    const { track: { key, content_type: contentType }, context } = options
    this.#stores = stores
    this.#options = options
    this.#object = { key, contentType, metadata: objectMetadata(options.track, options.attempt), ...(context === undefined ? {} : { context }) }
  }

  /** Stores the file with its receipt, and closes it. False if B2 may have got it more than once. @throws {DamagedFile | WriteFailed | CircuitOpen} */
  async store (file: OpenFile): Promise<boolean> {
    const { b2, memory, pool } = this.#stores
    const { track, stop } = this.#options
    const { partBytes } = b2
    if (file.size !== track.size_bytes) {
      await file.close()
      throw new DamagedFile(`The file has ${file.size} bytes, its receipt says ${track.size_bytes}`)
    }
    const parts = await PromotionParts.open({ file, partBytes, memory, pool, signal: stop })
    let isFirst = false
    try {
      isFirst = track.size_bytes <= partBytes ? await this.#putWhole(parts) : await this.#putParts(parts)
      return isFirst && !needsCompanion(this.#object.metadata!)
    } finally {
      parts.close(isFirst)
    }
  }

  /** Stores the receipt beside the object. @throws {WriteFailed | CircuitOpen} */
  async storeReceipt (): Promise<void> {
    await this.write(permit => this.putReceipt(permit))
  }

  async #putWhole (parts: PromotionParts): Promise<boolean> {
    const { b2 } = this.#stores
    const { track, abort } = this.#options
    const bytes = await this.#next(parts, track.size_bytes)
    this.#assertWhole(parts)
    return await this.write(async permit => {
      await this.#putReceiptWhereNeeded(permit)
      return this.learn(permit, await b2.put(this.#object, bytes, track.sha256, { signal: abort, isPatient: true })).firstTry
    })
  }

  async #putParts (parts: PromotionParts): Promise<boolean> {
    // Read before the circuit gives a permit: a slow disk must not keep others from B2.
    const first = await this.#next(parts, this.#stores.b2.partBytes)
    return await this.write(async permit => {
      let onStored: (isFirst: boolean) => void = () => {}
      const upload = this.#stores.b2.begin(this.#object, {
        signParts: true,
        isPatient: true,
        mayFallBack: () => false, // no client waits for it
        onPartStored: (_number, isFirst) => {
          permit.acknowledge()
          onStored(isFirst)
        },
      })
      upload.failed.addEventListener('abort', () => onStored(true))
      this.#options.abort.addEventListener('abort', () => upload.abort())
      try {
        await this.#feed(first, parts, upload, permit, () => new Promise(resolve => { onStored = resolve }))
      } catch (error) {
        upload.abort()
        await upload.result
        throw error
      }
      return this.learn(permit, await upload.result).firstTry
    })
  }

  /** Sends all parts, each once B2 has the one before: live uploads come first. Returns early if B2 failed. */
  async #feed (first: Uint8Array, parts: PromotionParts, upload: B2PartsUpload, permit: Permit, nextStored: () => Promise<boolean>): Promise<void> {
    const { track, stop, onBytes } = this.#options
    const { partBytes } = this.#stores.b2
    for (let bytes = first; !upload.failed.aborted; bytes = await this.#next(parts, partBytes)) {
      stop.throwIfAborted()
      const isLast = bytes.byteLength < partBytes || parts.bytesRead >= track.size_bytes
      if (isLast) {
        this.#assertWhole(parts)
        await this.#putReceiptWhereNeeded(permit)
        stop.throwIfAborted()
      }
      const stored = nextStored()
      await upload.push(bytes, isLast)
      // If it failed while the file was read, no answer to this part will come.
      if (isLast || upload.failed.aborted) return
      if (!await stored) parts.dropBuffer()
      onBytes(parts.bytesRead)
    }
  }

  async #next (parts: PromotionParts, length: number): Promise<Uint8Array> {
    const bytes = await parts.next(length)
    this.#hash.update(bytes)
    return bytes
  }

  /** Nothing of a damaged file may become an object. */
  #assertWhole (parts: PromotionParts): void {
    const { size_bytes: size, sha256 } = this.#options.track
    if (parts.bytesRead !== size) throw new DamagedFile(`The file has ${parts.bytesRead} bytes, its receipt says ${size}`)
    const digest = this.#hash.digest('hex')
    if (digest !== sha256) throw new DamagedFile(`The file's sha256 is ${digest}, its receipt says ${sha256}`)
  }

  /** Before the object, so that there is none without its receipt. */
  async #putReceiptWhereNeeded (permit: Permit): Promise<void> {
    if (needsCompanion(this.#object.metadata!)) await this.putReceipt(permit)
  }

  async putReceipt (permit: Permit): Promise<boolean> {
    const { track, abort, context, attempt } = this.#options
    return this.learn(permit, await this.#stores.b2.putReceipt(track, { signal: abort, isPatient: true, attempt, ...(context === undefined ? {} : { context }) })).firstTry
  }

  /** Writes with a permit; the outcome is a verdict on B2, unless the promotion was stopped. */
  async write (write: (permit: Permit) => Promise<boolean>): Promise<boolean> {
    this.#options.stop.throwIfAborted()
    const permit = this.#stores.breaker.tryAcquire(true, this.#options.context?.log)
    if (permit === undefined) throw new CircuitOpen()
    try {
      const isFirst = await write(permit)
      permit.succeed()
      return isFirst
    } finally {
      permit.release()
    }
  }

  /** What B2 stored. @throws {WriteFailed} if it failed; the reason of `abort` */
  learn<Stored extends { readonly ok: true }> (permit: Permit, result: Stored | B2UploadFailure): Stored {
    if (result.ok) {
      permit.acknowledge()
      return result
    }
    this.#options.abort.throwIfAborted()
    permit.fail(result)
    throw new WriteFailed(result)
  }
}
