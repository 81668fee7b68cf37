import type { FileSystem } from '../../disk/file-system.ts'
import { isKeyed, timeOfName } from '../../keys.ts'
import { toLocalStoreError } from '../errors.ts'
import type { Log } from '../../log.ts'
import { kindOf } from '../names.ts'
import type { Receipts } from '../receipts.ts'
import type { Tally } from './tally.ts'
import { filesBelow } from '../walk.ts'

/** One entry of the queue for B2. */
export interface PendingFile {
  key: string
  /** `file`: a whole file or the rest of a split one, with its receipt; `receipt`: one that was kept for an object in B2. */
  kind: 'file' | 'receipt'
  /** Why it must not be promoted; undefined if it may be. */
  setAside: string | undefined
}

export interface PendingOptions {
  fs: FileSystem
  /** Absolute path. */
  root: string
  receipts: Receipts
  tally: Tally
  log: Log
  /** Files that are remembered at once; for more, the directory is read again. */
  batchFiles?: number | undefined
}

/** The directory as a queue. */
export interface Pending {
  /**
   * All that is to be promoted and was there at the first reading, oldest first. Files that vanish meanwhile may be among it.
   * @param stop stops it: it throws the reason
   * @throws LocalStoreError if the directory cannot be read
   */
  files (stop?: AbortSignal): AsyncGenerator<PendingFile>
  /** Counts all that is to be promoted. @param stop as above @throws LocalStoreError */
  count (stop?: AbortSignal): Promise<void>
}

/**
 * A file's place in the order of the directory: by its name, which begins with the time in most cases, then by its directory. Names that don't are put
 * in order by their receipts, among those that are remembered together.
 */
interface Place {
  readonly name: string
  /** What comes before the name in its key. */
  readonly prefix: string
}

interface Entry extends Place {
  hasData: boolean
  hasReceipt: boolean
  hasNote: boolean
  /** When it was uploaded, in milliseconds since 1970. */
  time: number
}

/** Some of all places: after one, up to another one. */
interface Range {
  readonly after?: Place | undefined
  readonly until?: Place | undefined
}

interface Reading {
  /** What is in the range, in order; undefined: more than can be remembered. */
  entries: Entry[] | undefined
  /** A sample of what is in the range. */
  sample: Sample
  /** The last of all in the directory. */
  last: Place | undefined
}

/** Each takes some 200 bytes. */
const BATCH_FILES = 8_000

/**
 * Names say nearly everything: a receipt beside its data file is a file to be promoted, and one with a note is set aside. Only a
 * receipt without its file must be read: it may be kept for an object in B2, or belong to a commit under way.
 *
 * The directory has no order, and may have too many names to remember. Then it is read once for a sample that tells where to cut,
 * and once for each piece: a million files take some 250 rounds of about a second.
 */
export function createPending ({ fs, root, receipts, tally, log, batchFiles = BATCH_FILES }: PendingOptions): Pending {
  const reported = new Set<string>()

  function passOver (err: unknown, directory: string): void {
    if (directory === root) throw err
    if (!reported.has(directory)) log.warn({ err }, 'a directory of the local store cannot be searched for files to promote')
    reported.add(directory)
  }

  async function judge ({ prefix, name, hasData, hasNote }: Entry): Promise<PendingFile | undefined> {
    const key = `${prefix}${name}`
    const setAside = hasNote ? await receipts.reasonOf(key) : undefined
    // A receipt that could not be read may have been repaired.
    if (hasData && receipts.trouble(key) === undefined) return { key, kind: 'file', setAside }
    try {
      const found = await receipts.find(key)
      return found && { key, kind: found.kind === 'receipt' ? 'receipt' : 'file', setAside }
    } catch {
      return { key, kind: hasData ? 'file' : 'receipt', setAside: setAside ?? receipts.trouble(key) ?? 'its receipt cannot be read' }
    }
  }

  /** What can't be read comes last. */
  async function timeInReceipt ({ prefix, name }: Entry): Promise<number> {
    const found = await receipts.find(`${prefix}${name}`).catch(() => undefined)
    return found === undefined ? Infinity : Date.parse(found.receipt.track.uploaded_at) || Infinity
  }

  async function read ({ after, until }: Range, stop: AbortSignal | undefined): Promise<Reading> {
    const count = tally.count(after === undefined)
    const sample = new Sample()
    const ends: { first?: Place, last?: Place } = {}
    // According to the last count, which spares the memory for what would be dropped.
    let isTooMuch = after === undefined && until === undefined && tally.waiting.files > batchFiles
    /** The entries of this directory: a file, its receipt and its note are in the same one. */
    let entries = new Map<string, Entry>()
    let directory: string | undefined
    const all: Array<Map<string, Entry>> = []
    let remembered = 0

    function look (fileName: string, prefix: string): void {
      const file = kindOf(fileName)
      if (file === undefined || file.kind === 'live') return
      const { kind, name } = file
      if (kind === 'receipt') count.saw(`${prefix}${name}`)
      if (until !== undefined && name > until.name && ends.last !== undefined && name < ends.last.name) return
      const place = { name, prefix }
      if (ends.last === undefined || comesBefore(ends.last, place)) ends.last = place
      if (after !== undefined && !comesBefore(after, place)) return
      if (until !== undefined && comesBefore(until, place)) return
      if (kind === 'receipt' && (ends.first === undefined || comesBefore(place, ends.first))) ends.first = place
      sample.add(name, prefix)
      if (isTooMuch) return
      let entry = entries.get(name)
      if (entry === undefined) {
        entry = { ...place, hasData: false, hasReceipt: false, hasNote: false, time: timeOfName(name) ?? NaN }
        entries.set(name, entry)
        isTooMuch = ++remembered > batchFiles
      }
      entry[kind === 'receipt' ? 'hasReceipt' : kind === 'note' ? 'hasNote' : 'hasData'] = true
      if (!isTooMuch) return
      all.length = 0
      entries.clear()
    }

    try {
      for await (const batch of filesBelow(fs, root, passOver)) {
        stop?.throwIfAborted()
        if (batch.directory !== directory) all.push(entries = new Map())
        directory = batch.directory
        for (const fileName of batch.files) look(fileName, batch.prefix)
      }
      if (isTooMuch) {
        const { first, last } = ends
        count.end(first === undefined ? [] : [`${first.prefix}${first.name}`], false)
        return { entries: undefined, sample, last }
      }
      const found: Entry[] = []
      for (const entry of all.flatMap(entries => [...entries.values()]).sort(inOrder)) {
        if (!entry.hasReceipt || !(entry.hasData || await judge(entry) !== undefined)) continue
        if (Number.isNaN(entry.time)) entry.time = await timeInReceipt(entry)
        found.push(entry)
      }
      found.sort((a, b) => a.time - b.time) // which leaves those of one moment in their order
      const keys = found.map(({ prefix, name }) => `${prefix}${name}`)
      count.end(keys, after === undefined && until === undefined, new Map(found.flatMap(({ name, time }, index) => isKeyed(name) ? [[keys[index]!, time]] : [])))
      return { entries: found, sample, last: ends.last }
    } catch (cause) {
      stop?.throwIfAborted()
      throw toLocalStoreError(cause, 'The local directory could not be searched for files to promote')
    } finally {
      count.cancel()
    }
  }

  async function * within (range: Range, stop: AbortSignal | undefined): AsyncGenerator<PendingFile> {
    const { entries, sample, last } = await read(range, stop)
    if (entries === undefined) {
      let { after } = range
      // What comes during all this is left to the next time.
      for (const until of [...sample.cuts(batchFiles), range.until ?? last]) {
        yield * within({ after, until }, stop)
        after = until
      }
      return
    }
    for (const entry of entries) {
      const file = await judge(entry)
      if (file !== undefined) yield file
    }
  }

  return {
    files: stop => within({}, stop),

    async count (stop) {
      await read({}, stop)
    },
  }
}

function comesBefore (a: Place, b: Place): boolean {
  return a.name < b.name || (a.name === b.name && a.prefix < b.prefix)
}

function inOrder (a: Place, b: Place): number {
  return comesBefore(a, b) ? -1 : 1
}

/** So many that a piece is rarely twice as long as it should be. */
const SAMPLES = 2_000

/** A random sample of all places: it tells where to cut what is too long to remember. */
class Sample {
  readonly #places: Place[] = []
  #seen = 0

  add (name: string, prefix: string): void {
    this.#seen++
    const index = this.#places.length < SAMPLES ? this.#places.length : Math.floor(Math.random() * this.#seen)
    if (index < SAMPLES) this.#places[index] = { name, prefix }
  }

  /** Places at which to cut, in order, with about `count` places between two of them. */
  cuts (count: number): Place[] {
    const step = Math.max(1, Math.floor(count * this.#places.length / Math.max(1, this.#seen)))
    return this.#places.toSorted(inOrder).filter((_, index) => index % step === step - 1)
  }
}
