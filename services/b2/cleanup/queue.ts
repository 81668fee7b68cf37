import { uuidv7 } from '../../keys.ts'
import type { B2ErrorCode } from '../error-codes.ts'
import type { Leftover, Notes, Note } from './notes.ts'
import { keyOfFile } from '../object-receipt.ts'
import type { Log } from '../../log.ts'
import { oneAtATime } from '../../tasks/one-at-a-time.ts'

/** A leftover that waits to be removed. */
export interface Waiting extends Note {
  /** True while it is being removed. */
  underWay: boolean
  /** Whether its key was wanted at the last try. */
  wanted: boolean
  /** What was logged about it already: B2's refusal, or trouble with local storage. */
  told: B2ErrorCode | 'local' | undefined
  /** Whether another process noted it, or an earlier one. */
  readonly isForeign: boolean
  isWritten: boolean
  writing: Promise<boolean> | undefined
}

/**
 * What waits to be removed from B2, in memory and, if there is a directory for it, on disk. Without one, or if it can't be
 * used, a restart forgets what waits.
 */
export class CleanupQueue {
  readonly #disk: Notes | undefined
  readonly #bucket: string
  readonly #log: Log | undefined
  readonly #waiting = new Map<string, Waiting>()
  /** Ids of notes that belong to another bucket, or can't be understood. */
  #passedOver = new Set<string>()
  readonly #inTurn = oneAtATime()
  readonly #troubles = new Set<'read' | 'write' | 'remove'>()

  constructor (disk: Notes | undefined, bucket: string, log: Log | undefined) {
    this.#disk = disk
    this.#bucket = bucket
    this.#log = log
    for (const note of disk?.readAtStart() ?? []) if (note.bucket === bucket) this.#take(note, true)
  }

  get size (): number { return this.#waiting.size }

  /** In the order of the tries. What is added or put back meanwhile comes at the end. */
  values (): Iterable<Waiting> { return this.#waiting.values() }

  /** Adds a leftover, unless the same one waits already. */
  add (leftover: Leftover): Waiting {
    const { kind } = leftover
    if (kind === 'object' || kind === 'doubles') {
      for (const entry of this.#waiting.values()) {
        // A removal under way may have looked at B2 before this failure. Another process may be settling one that it noted.
        if (isSame(entry.leftover, leftover) && !entry.underWay && !entry.isForeign) return entry
      }
    }
    return this.#take({ id: uuidv7(), bucket: this.#bucket, leftover, notedAt: Date.now() }, false)
  }

  /** Moves it to the end, so that it does not keep others waiting. */
  putBack (entry: Waiting): void {
    if (this.#waiting.delete(entry.id)) this.#waiting.set(entry.id, entry)
  }

  /** Forgets it: it has been removed from B2. */
  async done (entry: Waiting): Promise<void> {
    this.#waiting.delete(entry.id)
    await entry.writing
    if (entry.isWritten) await this.#tellIfFails('remove', () => this.#disk!.remove(entry.id))
  }

  /** Whether it certainly still waits, on disk too: another process may have removed or settled it. */
  async stands (entry: Waiting): Promise<boolean> {
    const isRead = await this.#tellIfFails('read', async () => {
      if (entry.isWritten && await this.#disk!.read(entry.id) === undefined) this.#waiting.delete(entry.id)
    })
    return isRead && this.#waiting.has(entry.id)
  }

  /** Writes it down. False if there is no directory, or the disk fails. */
  async write (entry: Waiting): Promise<boolean> {
    if (this.#disk === undefined || entry.isWritten) return entry.isWritten
    entry.writing ??= this.#tellIfFails('write', () => this.#disk!.write(entry)).then(written => {
      entry.isWritten = written
      entry.writing = undefined
      return written
    })
    return await entry.writing
  }

  /** Writes down what has not been written yet. */
  async writeAll (): Promise<void> {
    for (const entry of this.#waiting.values()) {
      // If one can't be written, the others can't either.
      if (!entry.isWritten && !await this.write(entry)) return
    }
  }

  /** Learns what other processes have noted and removed. */
  async refresh (): Promise<void> {
    await this.#tellIfFails('read', () => this.#inTurn(() => this.#readAgain()))
  }

  /** Replaces each order to remove the object `key` by one to remove its doubles. Deletions stay: one may have come at this very moment. See the B2 store. */
  async settle (key: string, mayHaveDoubles: boolean, correlationId?: string, attempt?: string): Promise<void> {
    const ofKey = { kind: 'doubles', key, ...(correlationId === undefined ? {} : { correlation_id: correlationId }) } as const
    const here = this.#takeOff(key, attempt, () => true)
    const doubles = mayHaveDoubles || here.length > 0 ? this.add(ofKey) : undefined
    // Not during another reading: that could bring back what is taken off.
    await this.#inTurn(async () => {
      await this.#readAgain()
      // What this process noted since then is a later order.
      const elsewhere = this.#takeOff(key, attempt, ({ isForeign }) => isForeign)
      const gone = [...here, ...elsewhere]
      if (gone.length === 0) return
      await this.write(doubles ?? this.add(ofKey))
      for (const entry of gone) {
        await entry.writing
        if (entry.isWritten) await this.#disk!.remove(entry.id)
      }
    })
  }

  isForgotten (key: string, attempt?: string): boolean {
    return this.#has(({ leftover, wanted }) => leftover.kind === 'object' && leftover.key === key && isBy(leftover, attempt) && (leftover.deleted === true || !wanted))
  }

  /** Whether anything of an object is to be removed, whichever attempt stored it. */
  hasObject (key: string): boolean {
    return this.#has(({ leftover }) => leftover.kind === 'object' && leftover.key === key)
  }

  /** Whether all objects below `prefix` are to be removed. */
  hasBelow (prefix: string): boolean {
    return this.#has(({ leftover }) => leftover.kind === 'below' && leftover.key === prefix)
  }

  mayReturn (key: string): boolean {
    return this.#has(({ leftover }) => leftover.kind === 'object' && leftover.key === key && leftover.unclaimed === true)
  }

  /** Like that of the B2 store, of what this process knows. An upload that B2 refuses to abort doesn't count. */
  mayComplete (key: string): boolean {
    return this.#has(({ leftover, told = 'local' }) => leftover.kind === 'upload' && leftover.mayComplete === true && leftover.key === key && told === 'local')
  }

  #has (test: (entry: Waiting) => boolean): boolean {
    for (const entry of this.#waiting.values()) if (test(entry)) return true
    return false
  }

  #take (note: Note, isForeign: boolean): Waiting {
    const entry = { ...note, underWay: false, wanted: false, told: undefined, isForeign, isWritten: isForeign, writing: undefined }
    this.#waiting.set(entry.id, entry)
    return entry
  }

  #takeOff (key: string, attempt: string | undefined, accept: (entry: Waiting) => boolean): Waiting[] {
    const found = [...this.#waiting.values()].filter(entry => {
      const { leftover } = entry
      return leftover.kind === 'object' && leftover.deleted !== true && keyOfFile(leftover.key) === key && isBy(leftover, attempt) && accept(entry)
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
      // This process may have noted and written it just now.
      else if (!this.#waiting.has(id)) this.#take(note, true)
    }
    this.#passedOver = passedOver
  }

  /** Logs a failure of the disk once, until the same works again. */
  async #tellIfFails (what: 'read' | 'write' | 'remove', task: () => Promise<void>): Promise<boolean> {
    try {
      await task()
      this.#troubles.delete(what)
      return true
    } catch (err) {
      if (!this.#troubles.has(what)) this.#log?.error({ event: 'b2.leftovers_unwritten', what, err }, 'what is to be removed from B2 can\'t be written down; a restart may forget some of it')
      this.#troubles.add(what)
      return false
    }
  }
}

/** Whether what this attempt stored is to be removed. */
function isBy (leftover: Leftover & { kind: 'object' }, attempt: string | undefined): boolean {
  return leftover.attempt === undefined || leftover.attempt === attempt
}

function isSame (one: Leftover, other: Leftover): boolean {
  if (one.kind !== other.kind || one.key !== other.key) return false
  return one.kind !== 'object' || other.kind !== 'object' || (one.attempt === other.attempt && one.deleted === other.deleted && one.unclaimed === other.unclaimed)
}
