import { needsCompanion, objectMetadata } from '../b2/object-receipt.ts'
import type { ObjectHead } from '../b2/object-reader.ts'
import { objectsBelow } from '../local/manifest.ts'
import type { SplitManifest } from '../local/manifest.ts'
import { withFields } from '../log.ts'
import type { Log, UploadContext } from '../log.ts'
import { SplitJoin } from './join.ts'
import { AnotherFile, CircuitOpen, DamagedFile, HookFailed, outcomeOf, PartsGone, Unverified, WriteFailed } from './outcome.ts'
import type { PromotionOutcome } from './outcome.ts'
import { PromotionUpload } from './upload.ts'
import type { PromotionStores, PromotionUploadOptions } from './upload.ts'
import type { Receipt, Track } from '../receipt.ts'
import { untilAborted } from '../tasks/until-aborted.ts'

/** Between two checks whether a file that is promoted without a claim is still here. */
const LOOK_INTERVAL_MS = 1_000

export interface PromotedFileOptions {
  readonly key: string
  /** Whether to try it although it was set aside. */
  readonly takeUp: boolean
  /** Called with the new receipt; the local file is removed once it has resolved. */
  readonly onPromoted: ((receipt: Receipt) => unknown) | undefined
  readonly log: Log
  /** Whether to find out, which takes seconds, if another process that has claimed it still lives. */
  readonly waitsForOwner: boolean
  /** Called once it is claimed: waits for a free place among the promotions. Returns the function that leaves it. */
  enter (signal: AbortSignal): Promise<() => void>
  /** Called with the number of bytes that B2 has so far. */
  onBytes (bytes: number): void
}

/**
 * The promotion of one file. Whatever ends it, even a kill, the file stays in local storage until B2 certainly has it, and every
 * step can be repeated.
 */
export class PromotedFile {
  readonly key: string
  readonly #stores: PromotionStores
  readonly #options: PromotedFileOptions
  readonly #stop = new AbortController()
  readonly #abort = new AbortController()
  readonly #writesEnded: Promise<void>
  #endWrites: () => void = () => {}
  #isBegun = false
  /** Whether B2 certainly has it: from then on the promotion itself removes the file. */
  #isSettled = false
  /** Whether the file was here after it was claimed: only then may B2 have anything from this promotion. */
  #wasHere = false
  /** Bytes of the file; 0 until known. */
  size = 0
  /** Its upload; undefined until known, or if the receipt does not name it. */
  context: UploadContext | undefined
  /** Tells it from what other uploads may have stored in B2 under the same key. */
  #attempt: string | undefined

  constructor (stores: PromotionStores, options: PromotedFileOptions) {
    this.key = options.key
    this.#stores = stores
    this.#options = options
    this.#writesEnded = new Promise(resolve => { this.#endWrites = resolve })
  }

  get isStopped (): boolean { return this.#stop.signal.aborted }

  /** Stops at the next safe point: a write that may store the object at any moment is waited for. */
  stop (): void {
    this.#stop.abort()
  }

  /** Stops at once, at any point. */
  abort (): void {
    this.#stop.abort()
    this.#abort.abort()
  }

  /** Stops at the next safe point, and resolves when nothing more is written to B2. It may still wait for the host's callback. */
  async stopWriting (): Promise<void> {
    this.stop()
    if (this.#isBegun) await this.#writesEnded
  }

  /** Whether it is (still) here; if so, its size is known then. @throws {LocalStoreError} */
  async exists (): Promise<boolean> {
    const found = await this.#stores.local.find(this.key)
    this.size = found === undefined ? 0 : bytesToGo(found.receipt)
    return found !== undefined
  }

  /** Never rejects. */
  async run (): Promise<PromotionOutcome> {
    const { local } = this.#stores
    try {
      const claim = await local.claim(this.key, this.#stop.signal, this.#options.waitsForOwner)
      if (claim === undefined) {
        this.#stop.signal.throwIfAborted()
        return { kind: 'elsewhere' }
      }
      let stopWatching = (): void => {}
      let leave = (): void => {}
      try {
        leave = await this.#options.enter(this.#stop.signal)
        this.#stop.signal.throwIfAborted()
        this.#isBegun = true
        if (!claim.isKnown) stopWatching = this.#stopWithFile()
        return await this.#promote()
      } catch (error) {
        // If the file is gone, that is the reason, or the error does not matter.
        if (await this.#isGone()) return { kind: 'gone' }
        if (![DamagedFile, PartsGone, AnotherFile].some(kind => error instanceof kind)) throw error
        await local.setAside(this.key, (error as Error).message)
        return outcomeOf(error)
      } finally {
        stopWatching()
        leave()
        await claim.release()
      }
    } catch (error) {
      return this.#stop.signal.aborted ? { kind: 'stopped' } : outcomeOf(error)
    } finally {
      this.#endWrites()
    }
  }

  /**
   * Stops soon after the file is gone. Other processes can't see that it is being promoted, so a deletion does not wait for this; it
   * is remembered for a time instead.
   */
  #stopWithFile (): () => void {
    let isLooking = false
    const timer = setInterval(() => {
      if (isLooking) return
      isLooking = true
      this.#stores.local.find(this.key)
        .then(found => { if (found === undefined && !this.#isSettled) this.abort() }, () => {}) // after a failure the next check tells
        .finally(() => { isLooking = false })
    }, LOOK_INTERVAL_MS)
    return () => clearInterval(timer)
  }

  async #promote (): Promise<PromotionOutcome> {
    const { b2, local, breaker } = this.#stores
    const found = await local.find(this.key)
    if (found === undefined || b2.isForgotten(this.key, found.attempt)) return { kind: 'gone' }
    this.#wasHere = true
    const { receipt: { track }, correlationId } = found
    this.#attempt = found.attempt
    this.size = bytesToGo(found.receipt)
    if (correlationId !== undefined) this.context = { correlationId, log: withFields(this.#options.log, { correlation_id: correlationId }) }
    if (found.setAside !== undefined) {
      if (!this.#options.takeUp) return { kind: 'set_aside', detail: found.setAside }
      await local.takeUp(this.key)
    }
    if (!breaker.canAcquire(true)) throw new CircuitOpen()
    // B2 may carry out its completion late: over what is promoted now, and without a receipt.
    if (await b2.mayComplete(this.key)) return { kind: 'skipped', detail: 'Its upload that failed has not been removed from B2 yet' }
    this.#options.onBytes(0)
    if (found.manifest !== undefined) return await this.#join(track, found.manifest)
    return found.kind === 'file' ? await this.#move(track) : await this.#storeReceipt(track)
  }

  async #move (track: Track): Promise<PromotionOutcome> {
    const { b2, local } = this.#stores
    const upload = this.#upload(track)
    const before = await b2.head(this.key, this.#stop.signal)
    if (this.#attempt !== undefined && await this.#isTheirs(before, track)) return await this.#giveWay(track)
    let mayHaveDoubles = before !== undefined
    if (!isSame(before, track)) {
      const file = await local.openFile(this.key)
      if (file === undefined) return { kind: 'gone' }
      if (!await upload.store(file)) mayHaveDoubles = true
      if (!isSame(await b2.head(this.key, this.#abort.signal), track)) throw new Unverified()
    } else if (needsCompanion(objectMetadata(track, this.#attempt)) && await b2.track(this.key, this.#stop.signal) === undefined) {
      await upload.storeReceipt()
    }
    if (!await this.#hasWon()) return LOST
    return await this.#finish(track, mayHaveDoubles)
  }

  /**
   * Whether B2 has the file from another upload with the same Idempotency-Key. The receipt there is that upload's own.
   * @throws {AnotherFile} if it has another file
   */
  async #isTheirs (head: ObjectHead | undefined, { size_bytes: size, sha256 }: Track): Promise<boolean> {
    if (head === undefined || head.attempt === this.#attempt) return false
    const theirs = head.sha256 ?? (await this.#stores.b2.track(this.key, this.#stop.signal))?.sha256
    if (head.size !== size || theirs !== sha256) throw new AnotherFile()
    return true
  }

  /** B2 has the same file from another upload: what it may have from this one is hidden, or still to come. */
  async #giveWay (track: Track): Promise<PromotionOutcome> {
    const outcome = await this.#finish(track, false)
    if (outcome.kind === 'promoted') await this.#stores.b2.forget(this.key, this.context?.correlationId, this.#attempt)
    return outcome
  }

  /** Whether B2 has no object of another upload with the same Idempotency-Key. Else what this one stored is removed, and the next pass finds the other. */
  async #hasWon (): Promise<boolean> {
    if (this.#attempt === undefined) return true
    return await this.#stores.b2.contend({ key: this.key, attempt: this.#attempt, versionId: undefined }, this.#abort.signal)
  }

  /** B2 certainly has the file with its receipt. */
  async #finish (track: Track, mayHaveDoubles: boolean): Promise<PromotionOutcome> {
    if (!await this.#settle(mayHaveDoubles)) return { kind: 'gone' }
    await this.#tellHost({ storage: 'b2', location: this.key, track })
    await this.#stores.local.remove(this.key)
    return { kind: 'promoted' }
  }

  /** B2 has some of its parts. The key is the file's own, so an object of its size can only be the file: its upload was completed. */
  async #join (track: Track, manifest: SplitManifest): Promise<PromotionOutcome> {
    const { b2 } = this.#stores
    const upload = this.#upload(track)
    const isThere = async (signal: AbortSignal): Promise<boolean> => {
      const head = await b2.head(this.key, signal)
      return head?.size === track.size_bytes && head.attempt === this.#attempt
    }
    let hasReceipt = false
    if (this.#attempt !== undefined && await this.#isTheirs(await b2.head(this.key, this.#stop.signal), track)) {
      await b2.endLater(this.key, manifest.upload_id, this.context?.correlationId)
      return await this.#giveWay(track)
    }
    if (!await isThere(this.#stop.signal)) {
      try {
        await new SplitJoin(this.#stores, this.#uploadOptions(track), manifest, upload).run()
        hasReceipt = true
      } catch (error) {
        if (!isUploadGone(error)) throw error
        // A completion whose answer was lost may have been carried out since then.
        if (!await isThere(this.#abort.signal)) throw error instanceof PartsGone ? error : new PartsGone('B2 does not have the unfinished upload of this file any more, or not all of its parts')
      }
      if (!await isThere(this.#abort.signal)) throw new Unverified()
    }
    if (!hasReceipt && await b2.track(this.key, this.#stop.signal) === undefined) await upload.storeReceipt()
    if (!await this.#hasWon()) return LOST
    // An earlier try may have stored the receipt, and have been killed.
    await b2.noteDoubles(this.key, this.context?.correlationId)
    const below = objectsBelow(manifest)
    if (below !== undefined) await b2.noteBelow(below, this.context?.correlationId)
    return await this.#finish(track, false)
  }

  /** The object is in B2, and only its receipt is here. */
  async #storeReceipt (track: Track): Promise<PromotionOutcome> {
    const { b2, local } = this.#stores
    const head = await b2.head(this.key, this.#stop.signal)
    if (head === undefined) await b2.track(this.key, this.#stop.signal) // this tells a missing bucket from a missing object
    if (head === undefined) throw new Unverified('B2 does not have the object that this receipt was kept for')
    if (head.size !== track.size_bytes) throw new DamagedFile(`The object in B2 has ${head.size} bytes, its receipt says ${track.size_bytes}`)
    await this.#upload(track).storeReceipt()
    // The receipt is here because storing it in B2 failed, though B2 may have stored it.
    if (!await this.#settle(true)) return { kind: 'gone' }
    await local.remove(this.key)
    return { kind: 'promoted' }
  }

  #upload (track: Track): PromotionUpload {
    return new PromotionUpload(this.#stores, this.#uploadOptions(track))
  }

  #uploadOptions (track: Track): PromotionUploadOptions {
    return {
      track,
      attempt: this.#attempt,
      context: this.context,
      stop: this.#stop.signal,
      abort: this.#abort.signal,
      onBytes: this.#options.onBytes,
    }
  }

  /** Makes sure that no clean-up removes the object from now on. False if the file is gone. */
  async #settle (mayHaveDoubles: boolean): Promise<boolean> {
    const isGone = await this.#isGone()
    if (!isGone) await this.#stores.b2.settle(this.key, mayHaveDoubles, this.context?.correlationId, this.#attempt)
    this.#endWrites()
    this.#isSettled = !isGone
    return !isGone
  }

  /**
   * Whether the file is gone. Either it was deleted: then the deletion removes it from B2 after this. Or another owner of the claim
   * has promoted it (see `LocalStore.claim`). Nothing tells the two apart, so the newest version in B2 stays.
   */
  async #isGone (): Promise<boolean> {
    const { b2, local } = this.#stores
    if (await local.find(this.key) !== undefined) return false
    if (this.#wasHere) b2.removeDoubles(this.key, this.context?.correlationId)
    return true
  }

  /** However long the host takes: the file stays here until its callback has resolved. */
  async #tellHost (receipt: Receipt): Promise<void> {
    const { onPromoted } = this.#options
    if (onPromoted === undefined) return
    try {
      await untilAborted(onPromoted(receipt), this.#abort.signal)
    } catch (cause) {
      throw new HookFailed(cause)
    }
  }
}

const LOST: PromotionOutcome = { kind: 'skipped', detail: 'Another upload with the same Idempotency-Key has stored its file in B2' }

/** Bytes that B2 lacks. */
function bytesToGo (receipt: Receipt): number {
  return receipt.storage === 'split' ? receipt.split.local_bytes : receipt.track.size_bytes
}

function isUploadGone (error: unknown): boolean {
  return error instanceof PartsGone || (error instanceof WriteFailed && error.failure.isUploadGone === true)
}

function isSame (head: ObjectHead | undefined, { size_bytes, sha256 }: Track): boolean {
  return head !== undefined && head.size === size_bytes && head.sha256 === sha256
}
