import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import nodeFs from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { createDirectoryMaker, ifThere, syncDirectory, unlinkIfThere, type FileSystem } from '../../disk/file-system.ts'
import { PartFile } from '../../disk/part-file.ts'
import type { Log } from '../../log.ts'

/** Something that a failure left, or may have left, in B2. */
export type Leftover = {
  /** Of the upload that failed, where it is known. */
  readonly correlation_id?: string
} & (
  /** One unfinished multipart upload; with `mayComplete` its completion was sent, and may be carried out until it is ended. */
  | { readonly kind: 'upload', readonly key: string, readonly uploadId: string, readonly mayComplete?: true }
  /** All unfinished multipart uploads of a key that were begun before this was noted, whose ids only B2 knows. */
  | { readonly kind: 'uploads', readonly key: string }
  /**
   * All versions of an object and of its companion. With `deleted` somebody deleted the file, so that nothing of it is wanted any more; with
   * `unclaimed`, too, another process may be promoting it without a claim that tells when that is over.
   */
  | { readonly kind: 'object', readonly key: string, readonly deleted?: true, readonly unclaimed?: true }
  /** All versions of an object but the newest, and the same of its companion. */
  | { readonly kind: 'doubles', readonly key: string }
)

/** A leftover as it is on the list. */
export interface Note {
  /** UUIDv7, so that a list is in the order in which it was noted. */
  readonly id: string
  /** Where it is: services with different buckets may share a directory, and a bucket may be changed. */
  readonly bucket: string
  readonly leftover: Leftover
  /** Unix time in milliseconds. */
  readonly notedAt: number
}

export interface LeftoversOptions {
  /** Where the list is; created when there is something to write down. */
  readonly dir: string
  readonly log?: Log
  /** Replaces functions of the file system: by such with deadlines, or with faults that a real disk does not produce on demand. */
  readonly fs?: Partial<FileSystem>
  /** Whether the list may be read at the start by calls that block; not when the disk hangs. Default true. */
  readonly mayBlock?: boolean
}

const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
const NOTE_NAME = new RegExp(`^(${UUID})\\.json$`)
const PART_NAME = new RegExp(`^\\.${UUID}\\.json\\.part$`)

/**
 * The list of leftovers on disk, one small file each. Several processes may share it: notes are never changed, only
 * written and removed, and working one off twice does no harm. Files that are not ours, or can't be understood, are left
 * alone.
 */
export class Leftovers {
  readonly #dir: string
  readonly #log: Log | undefined
  readonly #fs: FileSystem
  readonly #makeDirectory: (directory: string) => Promise<void>
  readonly #mayBlock: boolean
  readonly #strange = new Set<string>()
  #parts = new Set<string>()
  /** Names of part files that are being written here, which may take longer than two looks. */
  readonly #own = new Set<string>()

  constructor (options: LeftoversOptions) {
    this.#dir = resolve(options.dir)
    this.#log = options.log
    this.#fs = { ...nodeFs, ...options.fs }
    this.#mayBlock = options.mayBlock ?? true
    this.#makeDirectory = createDirectoryMaker(this.#fs)
  }

  /**
   * The whole list, oldest first. It blocks, for use at the start only: the first who asks for a file must learn that it
   * is to be removed. What can't be read is left to the later looks, which tell.
   */
  readAtStart (): Note[] {
    if (!this.#mayBlock) return []
    try {
      return this.#notesAmong(readdirSync(this.#dir)).flatMap(id => this.#readNow(id) ?? [])
    } catch {
      return []
    }
  }

  /** Ids of what is on the list, oldest first. Rejects where the directory is there and can't be read. */
  async ids (): Promise<string[]> {
    const names = await ifThere(this.#fs.readdir(this.#dir)) ?? []
    await this.#sweep(names)
    return this.#notesAmong(names)
  }

  /** Undefined where it is gone, or can't be understood. Rejects where the disk fails. */
  async read (id: string): Promise<Note | undefined> {
    const text = await ifThere(this.#fs.readFile(this.#path(id), 'utf8'))
    return text === undefined ? undefined : this.#parse(id, text)
  }

  /** Resolves when neither a kill nor a power cut can take the note away. Rejects where it could not be written. */
  async write ({ id, bucket, leftover, notedAt }: Note): Promise<void> {
    await this.#makeDirectory(this.#dir) // each time: somebody may have tidied up
    // A name of its own for each try: what one that failed may have left stops no later one.
    const name = `.${randomUUID()}.json.part`
    this.#own.add(name)
    try {
      const file = await PartFile.create(this.#fs, join(this.#dir, name))
      await file.publish({ bucket, ...leftover, noted_at: new Date(notedAt).toISOString() }, this.#path(id))
    } finally {
      this.#own.delete(name)
    }
  }

  /** Takes a note off the list, durably; one that is not there is no error. */
  async remove (id: string): Promise<void> {
    if (await unlinkIfThere(this.#fs, this.#path(id))) await syncDirectory(this.#fs, this.#dir)
  }

  #readNow (id: string): Note | undefined {
    try {
      return this.#parse(id, readFileSync(this.#path(id), 'utf8'))
    } catch {
      return undefined
    }
  }

  #path (id: string): string {
    return join(this.#dir, `${id}.json`)
  }

  #notesAmong (names: string[]): string[] {
    const ids: string[] = []
    for (const name of names.sort()) {
      const id = NOTE_NAME.exec(name)?.[1]
      if (id !== undefined) ids.push(id)
      else if (!PART_NAME.test(name)) this.#leaveAlone(name)
    }
    return ids
  }

  /**
   * Removes the part files of killed processes: those that are there at two looks, and aren't written here. Should that take
   * one from another living process, that notices, and writes it again.
   */
  async #sweep (names: string[]): Promise<void> {
    const parts = new Set(names.filter(name => PART_NAME.test(name)))
    for (const name of parts) {
      if (!this.#parts.has(name) || this.#own.has(name)) continue
      parts.delete(name)
      await this.#fs.unlink(join(this.#dir, name)).catch(() => {})
    }
    this.#parts = parts
  }

  #parse (id: string, text: string): Note | undefined {
    try {
      const { bucket, noted_at, kind, key, uploadId, mayComplete, deleted, unclaimed, correlation_id } = JSON.parse(text)
      const notedAt = Date.parse(noted_at)
      if (typeof bucket !== 'string' || typeof key !== 'string' || key === '' || Number.isNaN(notedAt)) throw new TypeError('this is no note')
      const common = { key, ...(typeof correlation_id === 'string' ? { correlation_id } : {}) }
      if (kind === 'upload' && typeof uploadId === 'string') return { id, bucket, leftover: { kind, uploadId, ...(mayComplete === true ? { mayComplete } : {}), ...common }, notedAt }
      if (kind === 'object') {
        const how = { ...(deleted === true ? { deleted } as const : {}), ...(unclaimed === true ? { unclaimed } as const : {}) }
        return { id, bucket, leftover: { kind, ...how, ...common }, notedAt }
      }
      if (kind === 'uploads' || kind === 'doubles') return { id, bucket, leftover: { kind, ...common }, notedAt }
      throw new TypeError('this is no note')
    } catch {
      this.#leaveAlone(`${id}.json`)
      return undefined
    }
  }

  #leaveAlone (file: string): void {
    if (this.#strange.has(file)) return
    this.#strange.add(file)
    this.#log?.warn({ file }, 'a file in the list of what is to be removed from B2 can\'t be understood; it is left alone')
  }
}
