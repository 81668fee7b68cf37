import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import nodeFs from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { createDirectoryMaker, ifThere, syncDirectory, unlinkIfThere, type FileSystem } from '../../disk/file-system.ts'
import { PartFile } from '../../disk/part-file.ts'
import type { Log } from '../../log.ts'

/** Something that a failure left, or may have left, in B2, and that is to be removed. */
export type Leftover = {
  /** Of the upload that failed, if it is known. */
  readonly correlation_id?: string
} & (
  /** One unfinished multipart upload. With `mayComplete`, its completion was sent, and B2 may still carry it out until the upload is aborted. */
  | { readonly kind: 'upload', readonly key: string, readonly uploadId: string, readonly mayComplete?: true }
  /** All unfinished multipart uploads of a key that began before this was noted, but the one `except`; only B2 knows their ids. */
  | { readonly kind: 'uploads', readonly key: string, readonly except?: string }
  /**
   * All versions of an object and of its companion. With `deleted`, a client deleted the file, so nothing of it is wanted any more. With
   * `unclaimed`, another process may be promoting it without a claim, so nothing tells when that is over. With `attempt`, only what this
   * attempt stored: others may have stored files under the same key.
   */
  | { readonly kind: 'object', readonly key: string, readonly attempt?: string, readonly deleted?: true, readonly unclaimed?: true }
  /** All versions of an object but the newest, and the same of its companion; of a keyed file those of the same attempt. */
  | { readonly kind: 'doubles', readonly key: string }
  /** All versions of all objects whose keys begin with this one. */
  | { readonly kind: 'below', readonly key: string }
)

/** A leftover as it is written down. */
export interface Note {
  /** UUIDv7, so that notes sort by their age. */
  readonly id: string
  /** The leftover's bucket: services with different buckets may share a directory, and a service may change its bucket. */
  readonly bucket: string
  readonly leftover: Leftover
  /** Unix time in milliseconds. */
  readonly notedAt: number
}

export interface NotesOptions {
  /** The directory of the notes; created with the first one. */
  readonly dir: string
  readonly log?: Log
  /** Replaces functions of the file system: by ones with deadlines, or by faulty ones in tests. */
  readonly fs?: Partial<FileSystem>
  /** Whether calls that block may read the notes at the start; false if the disk hangs. Default true. */
  readonly mayBlock?: boolean
}

const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
const NOTE_NAME = new RegExp(`^(${UUID})\\.json$`)
const PART_NAME = new RegExp(`^\\.${UUID}\\.json\\.part$`)

/**
 * Leftovers on disk, one small file each. Several processes may share the directory: notes are never changed, only written and
 * removed, and doing one twice does no harm. Files with other names or contents stay untouched.
 */
export class Notes {
  readonly #dir: string
  readonly #log: Log | undefined
  readonly #fs: FileSystem
  readonly #makeDirectory: (directory: string) => Promise<void>
  readonly #mayBlock: boolean
  readonly #strange = new Set<string>()
  #parts = new Set<string>()
  /** Names of part files that this process is writing, which may take longer than two readings. */
  readonly #own = new Set<string>()

  constructor (options: NotesOptions) {
    this.#dir = resolve(options.dir)
    this.#log = options.log
    this.#fs = { ...nodeFs, ...options.fs }
    this.#mayBlock = options.mayBlock ?? true
    this.#makeDirectory = createDirectoryMaker(this.#fs)
  }

  /**
   * All notes, oldest first. It blocks, so it is for the start only: the first request for a file must learn that the file is
   * to be removed. A note that can't be read now is left to later readings, which report it.
   */
  readAtStart (): Note[] {
    if (!this.#mayBlock) return []
    try {
      return this.#notesAmong(readdirSync(this.#dir)).flatMap(id => this.#readNow(id) ?? [])
    } catch {
      return []
    }
  }

  /** Ids of all notes, oldest first. Rejects if the directory exists and can't be read. */
  async ids (): Promise<string[]> {
    const names = await ifThere(this.#fs.readdir(this.#dir)) ?? []
    await this.#sweep(names)
    return this.#notesAmong(names)
  }

  /** Undefined if the note is gone, or can't be understood. Rejects if the disk fails. */
  async read (id: string): Promise<Note | undefined> {
    const text = await ifThere(this.#fs.readFile(this.#path(id), 'utf8'))
    return text === undefined ? undefined : this.#parse(id, text)
  }

  /** Resolves when the note survives a kill and a power cut. Rejects if it could not be written. */
  async write ({ id, bucket, leftover, notedAt }: Note): Promise<void> {
    await this.#makeDirectory(this.#dir) // each time: the directory may have been removed
    // Each try has its own name, so what a failed one may have left stops no later one.
    const name = `.${randomUUID()}.json.part`
    this.#own.add(name)
    try {
      const file = await PartFile.create(this.#fs, join(this.#dir, name))
      await file.publish({ bucket, ...leftover, noted_at: new Date(notedAt).toISOString() }, this.#path(id))
    } finally {
      this.#own.delete(name)
    }
  }

  /** Removes a note durably; a missing one is not an error. */
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
   * Removes the part files of killed processes: those that two readings have seen, and that this process isn't writing. If one
   * belonged to a living process after all, that process notices and writes it again.
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
      const { bucket, noted_at, kind, key, uploadId, mayComplete, except, attempt, deleted, unclaimed, correlation_id } = JSON.parse(text)
      const notedAt = Date.parse(noted_at)
      if (typeof bucket !== 'string' || typeof key !== 'string' || key === '' || Number.isNaN(notedAt)) throw new TypeError('not a note')
      const common = { key, ...(typeof correlation_id === 'string' ? { correlation_id } : {}) }
      if (kind === 'upload' && typeof uploadId === 'string') return { id, bucket, leftover: { kind, uploadId, ...(mayComplete === true ? { mayComplete } : {}), ...common }, notedAt }
      if (kind === 'object') {
        const how = { ...(typeof attempt === 'string' ? { attempt } : {}), ...(deleted === true ? { deleted } as const : {}), ...(unclaimed === true ? { unclaimed } as const : {}) }
        return { id, bucket, leftover: { kind, ...how, ...common }, notedAt }
      }
      if (kind === 'uploads') return { id, bucket, leftover: { kind, ...(typeof except === 'string' ? { except } : {}), ...common }, notedAt }
      if (kind === 'doubles') return { id, bucket, leftover: { kind, ...common }, notedAt }
      if (kind === 'below') return { id, bucket, leftover: { kind, ...common }, notedAt }
      throw new TypeError('not a note')
    } catch {
      this.#leaveAlone(`${id}.json`)
      return undefined
    }
  }

  #leaveAlone (file: string): void {
    if (this.#strange.has(file)) return
    this.#strange.add(file)
    this.#log?.warn({ file }, 'a note of what to remove from B2 can\'t be understood; the file is left alone')
  }
}
