import { createHash } from 'node:crypto'
import type { ContinuedUpload } from '../b2/continued-upload.ts'
import { attemptMetadata } from '../b2/object-receipt.ts'
import type { ListedPart } from '../b2/object-reader.ts'
import { B2ReadError } from '../b2/read-requests.ts'
import type { B2Part } from '../b2/store.ts'
import type { Permit } from '../circuit-breaker.ts'
import { bytesOfPart, tailBytes } from '../local/manifest.ts'
import type { SplitManifest } from '../local/manifest.ts'
import { DamagedFile, PartsGone } from './outcome.ts'
import { PromotionParts } from './parts.ts'
import type { PromotionStores, PromotionUpload, PromotionUploadOptions } from './upload.ts'

/**
 * Joins a split file in B2: to the parts that B2 has acknowledged it adds those that are in local storage, and completes the upload.
 * Every step can be repeated, also after a kill: B2 keeps the parts, and the same part has the same bytes each time.
 */
export class SplitJoin {
  readonly #stores: PromotionStores
  readonly #options: PromotionUploadOptions
  readonly #manifest: SplitManifest
  readonly #upload: PromotionUpload
  /** What B2 has of it, by the numbers. */
  #listed: ReadonlyMap<number, ListedPart> = new Map()

  /** @param upload stores the receipt beside the object */
  constructor (stores: PromotionStores, options: PromotionUploadOptions, manifest: SplitManifest, upload: PromotionUpload) {
    this.#stores = stores
    this.#options = options
    this.#manifest = manifest
    this.#upload = upload
  }

  /** @throws {PartsGone | DamagedFile | WriteFailed | CircuitOpen} */
  async run (): Promise<void> {
    const { upload_id: uploadId, b2_parts: kept, local_parts: rest } = this.#manifest
    const { track: { key, content_type: contentType, size_bytes: size }, attempt, context, abort, stop } = this.#options
    this.#listed = await this.#list()
    const parts = rest.length === 0 ? undefined : await this.#openRest()
    let reuse = false
    try {
      // Read before the circuit gives a permit: a slow disk must not keep others from B2.
      const tail = await this.#readTail()
      const first = await parts?.next(tail.byteLength + rest[0]!.bytes, tail)
      await this.#upload.write(async permit => {
        const continued = this.#stores.b2.continue({ key, contentType, metadata: attemptMetadata(attempt), ...(context === undefined ? {} : { context }) }, { uploadId, size, signal: abort })
        try {
          const sent = parts === undefined ? [] : await this.#send(first!, parts, continued, permit)
          // Before the object, so that there is none without its receipt.
          await this.#upload.putReceipt(permit)
          stop.throwIfAborted()
          const { firstTry } = this.#upload.learn(permit, await continued.complete([...kept, ...sent]))
          reuse = true
          return firstTry
        } finally {
          continued.close()
        }
      })
    } finally {
      parts?.close(reuse)
    }
  }

  /** Empty if the key may not list: then only the completion tells what B2 has. */
  async #list (): Promise<Map<number, ListedPart>> {
    const { track: { key, size_bytes: size }, stop } = this.#options
    let listed: Map<number, ListedPart> | undefined
    try {
      listed = await this.#stores.b2.parts(key, this.#manifest.upload_id, stop)
    } catch (error) {
      if (error instanceof B2ReadError && error.error_code === 'access_denied') return new Map()
      throw error
    }
    if (listed === undefined) throw new PartsGone('B2 does not have the unfinished upload any more that has the first parts of this file')
    for (const { number, etag } of this.#manifest.b2_parts) {
      const part = listed.get(number)
      if (part?.etag === etag && part.size === bytesOfPart(this.#manifest, number, size)) continue
      throw new PartsGone(`B2 does not have part ${number} of this file any more, or has another one in its place`)
    }
    return listed
  }

  async #openRest (): Promise<PromotionParts> {
    const { local, memory, pool } = this.#stores
    const { track: { key }, stop } = this.#options
    const file = await local.openFile(key, 'rest')
    if (file === undefined) throw new DamagedFile('The rest of the file is not in local storage any more')
    return await PromotionParts.open({ file, partBytes: this.#manifest.part_bytes, bytesBefore: tailBytes(this.#manifest, 0), memory, pool, signal: stop })
  }

  /** What the first part begins with, if B2 has that in an object of its own. */
  async #readTail (): Promise<Uint8Array> {
    const { b2_tail: tail } = this.#manifest
    if (tail === undefined) return new Uint8Array(0)
    const stream = await this.#stores.b2.read(tail.key, undefined, this.#options.stop, tail.bytes)
    const chunks: Buffer[] = []
    for await (const chunk of stream ?? []) chunks.push(chunk as Buffer)
    const bytes = Buffer.concat(chunks)
    if (createHash('sha256').update(bytes).digest('hex') !== tail.sha256) throw new PartsGone('B2 does not have the object any more that has the beginning of a part of this file')
    return bytes
  }

  /** Sends the parts of the rest, of which the first has been read, each once B2 has the one before: live uploads come first. */
  async #send (first: Uint8Array, parts: PromotionParts, continued: ContinuedUpload, permit: Permit): Promise<B2Part[]> {
    const sent: B2Part[] = []
    for (const [index, { number, bytes: length, sha256 }] of this.#manifest.local_parts.entries()) {
      this.#options.stop.throwIfAborted()
      const bytes = index === 0 ? first : await parts.next(length)
      const before = tailBytes(this.#manifest, index)
      if (createHash('sha256').update(bytes.subarray(before)).digest('hex') !== sha256) throw new DamagedFile(`Part ${number} of the file is damaged in local storage`)
      const there = this.#listed.get(number)
      // An earlier try may have sent it. B2's ETag of a part is its MD5, as it is with most servers; where it isn't, the part goes again.
      if (there?.size === before + length && there.etag === `"${createHash('md5').update(bytes).digest('hex')}"`) {
        sent.push({ number, etag: there.etag })
      } else {
        const stored = this.#upload.learn(permit, await continued.put(number, bytes, before === 0 ? sha256 : undefined))
        if (!stored.firstTry) parts.dropBuffer()
        sent.push(stored)
      }
      this.#options.onBytes(parts.bytesRead)
    }
    return sent
  }
}
