import { B2ReadError } from '../b2/read-requests.ts'
import type { ResumableStores } from './taking/append.ts'
import type { SavedState } from './stores/disk.ts'
import { mayNotList } from './stores/remote.ts'
import type { RemoteState } from './stores/remote.ts'
import { ResumableUpload } from './upload.ts'

export interface FinderOptions {
  readonly stores: Pick<ResumableStores, 'b2' | 'disk' | 'local' | 'remote'>
  keyOf (name: string): string
}

/** So many uploads are remembered. Of one that was forgotten the stores know all but its hash. */
const MOST_KNOWN = 10_000
const MOST_GONE = 1_000

/** Finds unfinished uploads: in the memory of this process, in local storage and in B2. */
export class Finder {
  readonly #stores: FinderOptions['stores']
  readonly #keyOf: FinderOptions['keyOf']
  /** Those used last at the end. */
  readonly #known = new Map<string, ResumableUpload>()
  readonly #gone = new Set<string>()
  readonly #complete = new Set<string>()

  constructor ({ stores, keyOf }: FinderOptions) {
    this.#stores = stores
    this.#keyOf = keyOf
  }

  /** Those that this process knows. */
  get count (): number { return this.#known.size }

  get known (): Iterable<ResumableUpload> { return this.#known.values() }

  isKnown (name: string): boolean { return this.#known.has(name) }

  /** Whether there was an upload of this name that was ended. */
  wasHere (name: string): boolean { return this.#gone.has(name) }

  add (upload: ResumableUpload): void {
    const { name } = upload
    this.#known.delete(name)
    this.#known.set(name, upload)
    // An upload with an Idempotency-Key may have the name of one that is gone.
    this.#gone.delete(name)
    this.#complete.delete(name)
    if (this.#known.size > MOST_KNOWN) this.#known.delete(this.#known.keys().next().value!)
  }

  /** The upload has become a file. */
  complete (name: string): void {
    this.#known.delete(name)
    remember(this.#complete, name)
  }

  /** The upload was ended. */
  end (name: string): void {
    this.#known.delete(name)
    remember(this.#gone, name)
  }

  /** The stores know more than this process. */
  forget (name: string): void {
    this.#known.delete(name)
  }

  /**
   * An unfinished upload as it is now; undefined if there is none (any more).
   * @param offset that a client goes on from: if this process has told it that one, no store is asked
   * @throws {B2ReadError} if only B2 can tell, and can't be asked; {LocalStoreError}
   */
  async find (name: string, offset?: number): Promise<ResumableUpload | undefined> {
    const key = this.#keyOf(name)
    if (this.#complete.has(name) || this.#gone.has(name)) return undefined
    const known = this.#known.get(name)
    if (known !== undefined && known.offset === offset) return known
    if (await this.#isFileHere(name, key)) return undefined
    const saved = await this.#stores.disk.read(name, key)
    const found = await this.#look(name, key, known, saved)
    if (found === undefined) {
      this.#known.delete(name)
      return undefined
    }
    if (found !== known) {
      if (known !== undefined) found.remember(known)
      this.add(found)
    }
    return found
  }

  /** It has become a file in local storage, or a split one. Its process may have been killed before it removed the rest. */
  async #isFileHere (name: string, key: string): Promise<boolean> {
    const { b2, remote, disk, local } = this.#stores
    // If the disk fails, B2 can still take the upload.
    if (await local.find(key).catch(() => undefined) === undefined) return false
    this.complete(name)
    await disk.remove(name)
    b2?.removeBelow(remote!.infoKey(name))
    return true
  }

  async #look (name: string, key: string, known: ResumableUpload | undefined, saved: SavedState | undefined): Promise<ResumableUpload | undefined> {
    const { b2, remote, disk } = this.#stores
    let there: RemoteState | undefined
    try {
      there = b2 === undefined || b2.isForgotten(key) ? undefined : await remote!.find(name, key)
    } catch (error) {
      if (!(error instanceof B2ReadError)) throw error
      const here = known ?? ResumableUpload.found(name, undefined, saved)
      if (here !== undefined || mayNotList(error)) return here
      throw error
    }
    if (there === undefined) {
      const wasThere = known?.hasRemoteInfo === true || saved?.has_remote_info === true
      if (!wasThere) return known ?? ResumableUpload.found(name, undefined, saved)
      // Another process has completed or ended it.
      if (saved !== undefined) await disk.remove(name)
      return undefined
    }
    if (there.parts !== undefined) return ResumableUpload.found(name, there, saved)
    return await this.#assembled(name, there, saved)
  }

  /** B2 does not have the multipart upload any more: it was completed, or ended. */
  async #assembled (name: string, there: RemoteState, saved: SavedState | undefined): Promise<ResumableUpload | undefined> {
    const { b2, remote, disk } = this.#stores
    const { key, length } = there.info
    const head = await b2!.head(key)
    if (head !== undefined && head.size === length && await b2!.track(key) === undefined) {
      const upload = ResumableUpload.found(name, { ...there, parts: new Map() }, undefined)!
      upload.isAssembled = true
      return upload
    }
    // Whoever did that may have been killed before it removed the rest.
    b2!.removeBelow(remote!.folder(name), there.info.correlation_id)
    if (saved !== undefined) await disk.remove(name)
    if (head === undefined) remember(this.#gone, name)
    return undefined
  }
}

function remember (names: Set<string>, name: string): void {
  names.add(name)
  if (names.size > MOST_GONE) names.delete(names.values().next().value!)
}
