import type { FileSystem } from '../../disk/file-system.ts'
import { toLocalStoreError } from '../errors.ts'
import type { Log } from '../../log.ts'
import { kindOf } from '../names.ts'
import type { Receipts } from '../receipts.ts'
import type { Tally } from './tally.ts'
import { filesBelow } from '../walk.ts'

/** One entry of the queue for B2. */
export interface PendingFile {
  key: string
  /** `file`: a whole file with its receipt; `receipt`: one that was kept for an object in B2. */
  kind: 'file' | 'receipt'
  /** Why it must not be promoted as it is; undefined where it may be. */
  setAside: string | undefined
}

export interface PendingOptions {
  fs: FileSystem
  /** Absolute path. */
  root: string
  receipts: Receipts
  tally: Tally
  log: Log
  /** Files that are remembered at once; for more of them the directory is read again. */
  batchFiles?: number | undefined
}

/** The directory as a queue. */
export interface Pending {
  /**
   * All that is to be promoted and was there at the first reading, oldest first. What vanishes meanwhile may come all the same.
   * @param stop ends it: it throws the reason
   * @throws LocalStoreError where the directory cannot be read
   */
  files (stop?: AbortSignal): AsyncGenerator<PendingFile>
  /** Counts it. @param stop as above @throws LocalStoreError */
  count (stop?: AbortSignal): Promise<void>
}

/** A file's place in the order of all: by its name, which begins with the time, then by its directory. */
interface Place {
  readonly name: string
  /** What comes before the name in its key. */
  readonly prefix: string
}

interface Entry extends Place {
  hasData: boolean
  hasReceipt: boolean
  hasNote: boolean
}

/** Part of all places: after one, up to another one. */
interface Range {
  readonly after?: Place | undefined
  readonly until?: Place | undefined
}

interface Reading {
  /** What is in the range, in order; undefined: more than can be remembered. */
  entries: Entry[] | undefined
  /** Of what is in the range. */
  sample: Sample
  /** The last of all in the directory. */
  last: Place | undefined
}

/** Of some 200 bytes each. */
const BATCH_FILES = 8_000

/**
 * Names say nearly everything: what lies beside its data file is a file to be promoted, and what has a note is set aside.
 * Only a receipt that lies alone must be read: it may be kept for an object in B2, or be that of a commit on its way.
 *
 * The directory is in no order, and may be too long to be remembered. Then it is read once for a sample that tells where to
 * cut, and once for each piece: a million files in some 250 rounds, each of which takes about a second.
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
    // One that was in trouble may have been repaired.
    if (hasData && receipts.trouble(key) === undefined) return { key, kind: 'file', setAside }
    try {
      const found = await receipts.find(key)
      return found && { key, kind: found.kind, setAside }
    } catch {
      return { key, kind: hasData ? 'file' : 'receipt', setAside: setAside ?? receipts.trouble(key) ?? 'its receipt cannot be read' }
    }
  }

  async function read ({ after, until }: Range, stop: AbortSignal | undefined): Promise<Reading> {
    const count = tally.count(after === undefined)
    const sample = new Sample()
    const ends: { first?: Place, last?: Place } = {}
    // As far as is known already, which spares the memory for what would be dropped.
    let isTooMuch = after === undefined && until === undefined && tally.waiting.files > batchFiles
    /** Those of this directory: a file, its receipt and its note lie side by side. */
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
        entry = { ...place, hasData: false, hasReceipt: false, hasNote: false }
        entries.set(name, entry)
        isTooMuch = ++remembered > batchFiles
      }
      entry[kind === 'data' ? 'hasData' : kind === 'receipt' ? 'hasReceipt' : 'hasNote'] = true
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
        if (entry.hasReceipt && (entry.hasData || await judge(entry) !== undefined)) found.push(entry)
      }
      count.end(found.map(({ prefix, name }) => `${prefix}${name}`), after === undefined && until === undefined)
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
      // What comes during all this is for the next time.
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

/** So many that a batch cut by them is rarely twice as long as it should be. */
const SAMPLES = 2_000

/** Some of all places, each as likely as any other: where to cut what is too long to be remembered. */
class Sample {
  readonly #places: Place[] = []
  #seen = 0

  add (name: string, prefix: string): void {
    this.#seen++
    const index = this.#places.length < SAMPLES ? this.#places.length : Math.floor(Math.random() * this.#seen)
    if (index < SAMPLES) this.#places[index] = { name, prefix }
  }

  /** Places at which to cut, in order, so that about `count` lie between two of them. */
  cuts (count: number): Place[] {
    const step = Math.max(1, Math.floor(count * this.#places.length / Math.max(1, this.#seen)))
    return this.#places.toSorted(inOrder).filter((_, index) => index % step === step - 1)
  }
}
