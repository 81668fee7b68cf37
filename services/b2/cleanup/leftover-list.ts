import { uuidv7 } from '../../file-names.ts'
import type { B2ErrorCode } from '../error-codes.ts'
import type { Leftover, Leftovers, Note } from './leftovers.ts'
import { companionKey } from '../object-receipt.ts'
import type { Log } from '../../log.ts'
import { oneAtATime } from '../../tasks/one-at-a-time.ts'

/** A leftover that waits to be removed. */
export interface Waiting extends Note {
  /** True while somebody is at it. */
  underWay: boolean
  /** True where its key was wanted when it was last looked at. */
  wanted: boolean
  /** What was logged of it, so that it is not logged again: B2's refusal, or trouble with local storage. */
  told: B2ErrorCode | 'local' | undefined
  /** Where it comes from another process, or an earlier one. */
  readonly isForeign: boolean
  isWritten: boolean
  writing: Promise<boolean> | undefined
}

/**
 * What waits to be removed from B2, in memory and, where there is a directory for it, on disk. Without one, or where it
 * can't be used, the list is as good as memory is.
 */
export class LeftoverList {
  readonly #disk: Leftovers | undefined
  readonly #bucket: string
  readonly #log: Log | undefined
  readonly #waiting = new Map<string, Waiting>()
  /** Ids on disk that are another bucket's, or can't be understood. */
  #passedOver = new Set<string>()
  readonly #inTurn = oneAtATime()
  readonly #troubles = new Set<'read' | 'write' | 'remove'>()

  constructor (disk: Leftovers | undefined, bucket: string, log: Log | undefined) {
    this.#disk = disk
    this.#bucket = bucket
    this.#log = log
    for (const note of disk?.readAtStart() ?? []) if (note.bucket === bucket) this.#take(note, true)
  }

  get size (): number { return this.#waiting.size }

  /** In the order in which they are to be tried. What is added or put back meanwhile comes at the end. */
  values (): Iterable<Waiting> { return this.#waiting.values() }

  /** Takes a leftover on, unless the same waits already. */
  add (leftover: Leftover): Waiting {
    const { kind } = leftover
    if (kind === 'object' || kind === 'doubles') {
      for (const entry of this.#waiting.values()) {
        // One that is under way may have looked at B2 before there was this reason; one from elsewhere may be settled just now.
        if (isSame(entry.leftover, leftover) && !entry.underWay && !entry.isForeign) return entry
      }
    }
    return this.#take({ id: uuidv7(), bucket: this.#bucket, leftover, notedAt: Date.now() }, false)
  }

  /** Puts one at the end, so that it does not keep others waiting. */
  putBack (entry: Waiting): void {
    if (this.#waiting.delete(entry.id)) this.#waiting.set(entry.id, entry)
  }

  /** It is removed from B2. */
  async done (entry: Waiting): Promise<void> {
    this.#waiting.delete(entry.id)
    await entry.writing
    if (entry.isWritten) await this.#tellIfFails('remove', () => this.#disk!.remove(entry.id))
  }

  /** Whether it is still on the list for sure, on disk too: another process may have done or settled it. */
  async stands (entry: Waiting): Promise<boolean> {
    const isRead = await this.#tellIfFails('read', async () => {
      if (entry.isWritten && await this.#disk!.read(entry.id) === undefined) this.#waiting.delete(entry.id)
    })
    return isRead && this.#waiting.has(entry.id)
  }

  /** Writes one down. False where there is no disk for it, or it fails. */
  async write (entry: Waiting): Promise<boolean> {
    if (this.#disk === undefined || entry.isWritten) return entry.isWritten
    entry.writing ??= this.#tellIfFails('write', () => this.#disk!.write(entry)).then(written => {
      entry.isWritten = written
      entry.writing = undefined
      return written
    })
    return await entry.writing
  }

  /** Writes down what is not yet. */
  async writeAll (): Promise<void> {
    for (const entry of this.#waiting.values()) {
      // Where one can't be written, the others can't either.
      if (!entry.isWritten && !await this.write(entry)) return
    }
  }

  /** Learns what other processes noted, and what they have done. */
  async refresh (): Promise<void> {
    await this.#tellIfFails('read', () => this.#inTurn(() => this.#readAgain()))
  }

  /**
   * Takes off the list that the object `key` is to be removed, whoever noted it; what takes its place are its doubles. That it was
   * deleted stays: somebody may have deleted it at this very moment. Resolves when no process can remove it any more. Rejects where the disk fails, and that is not sure.
   */
  async settle (key: string, mayHaveDoubles: boolean, correlationId?: string): Promise<void> {
    const ofKey = { kind: 'doubles', key, ...(correlationId === undefined ? {} : { correlation_id: correlationId }) } as const
    const here = this.#takeOff(key, () => true)
    const doubles = mayHaveDoubles || here.length > 0 ? this.add(ofKey) : undefined
    // Not before another look at the disk has ended: it could bring back what is taken off.
    await this.#inTurn(async () => {
      await this.#readAgain()
      // What was noted here since then is a later wish.
      const elsewhere = this.#takeOff(key, ({ isForeign }) => isForeign)
      const gone = [...here, ...elsewhere]
      if (gone.length === 0) return
      await this.write(doubles ?? this.add(ofKey))
      for (const entry of gone) {
        await entry.writing
        if (entry.isWritten) await this.#disk!.remove(entry.id)
      }
    })
  }

  /** True while the object `key` is on the list, and nothing speaks against it. */
  isForgotten (key: string): boolean {
    for (const { leftover, wanted } of this.#waiting.values()) {
      if (leftover.kind === 'object' && leftover.key === key && (leftover.deleted === true || !wanted)) return true
    }
    return false
  }

  /** True while it is on the list that the file `key` was deleted, and that somebody may be promoting it without a claim. */
  mayReturn (key: string): boolean {
    for (const { leftover } of this.#waiting.values()) {
      if (leftover.kind === 'object' && leftover.key === key && leftover.unclaimed === true) return true
    }
    return false
  }

  /** True while an upload of `key` that may still be completed is on the list, unless B2 refuses to end it. */
  mayComplete (key: string): boolean {
    for (const { leftover, told = 'local' } of this.#waiting.values()) {
      if (leftover.kind === 'upload' && leftover.mayComplete === true && leftover.key === key && told === 'local') return true
    }
    return false
  }

  #take (note: Note, isForeign: boolean): Waiting {
    const entry = { ...note, underWay: false, wanted: false, told: undefined, isForeign, isWritten: isForeign, writing: undefined }
    this.#waiting.set(entry.id, entry)
    return entry
  }

  #takeOff (key: string, accept: (entry: Waiting) => boolean): Waiting[] {
    const keys = [key, companionKey(key)]
    const found = [...this.#waiting.values()].filter(entry => {
      const { leftover } = entry
      return leftover.kind === 'object' && leftover.deleted !== true && keys.includes(leftover.key) && accept(entry)
    })
    for (const { id } of found) this.#waiting.delete(id)
    return found
  }

  async #readAgain (): Promise<void> {
    if (this.#disk === undefined) return
    const known = [...this.#waiting.values()].filter(({ isWritten }) => isWritten)
    const ids = new Set(await this.#disk.ids())
    for (const { id } of known) if (!ids.has(id)) this.#waiting.delete(id)
    const passedOver = new Set<string>()
    for (const id of ids) {
      if (this.#waiting.has(id)) continue
      const note = this.#passedOver.has(id) ? undefined : await this.#disk.read(id)
      if (note?.bucket !== this.#bucket) passedOver.add(id)
      // It may have been noted here, and come to disk, just now.
      else if (!this.#waiting.has(id)) this.#take(note, true)
    }
    this.#passedOver = passedOver
  }

  /** Logs a failure of the disk, but not again before the same works. */
  async #tellIfFails (what: 'read' | 'write' | 'remove', task: () => Promise<void>): Promise<boolean> {
    try {
      await task()
      this.#troubles.delete(what)
      return true
    } catch (err) {
      if (!this.#troubles.has(what)) this.#log?.error({ event: 'b2.leftovers_unwritten', what, err }, 'the list of what is to be removed from B2 can\'t be kept on disk; a restart may forget some of it')
      this.#troubles.add(what)
      return false
    }
  }
}

function isSame (one: Leftover, other: Leftover): boolean {
  if (one.kind !== other.kind || one.key !== other.key) return false
  return one.kind !== 'object' || other.kind !== 'object' || (one.deleted === other.deleted && one.unclaimed === other.unclaimed)
}
