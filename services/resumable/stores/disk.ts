import { createHash } from 'node:crypto'
import type { Hash } from 'node:crypto'
import { join, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { exists, ifThere, syncDirectory, createDirectoryMaker } from '../../disk/file-system.ts'
import { PartFile } from '../../disk/part-file.ts'
import { LocalStoreError, toLocalStoreError } from '../../local/errors.ts'
import type { LocalStore } from '../../local/store.ts'
import { uuidv7 } from '../../keys.ts'
import { parseInfo, parseJson } from './info.ts'
import type { ResumableInfo } from './info.ts'
import type { Tail } from './remote.ts'

/** A file with some consecutive bytes of the upload. */
export interface Segment {
  readonly file: string
  /** Position in the upload of its first byte. */
  readonly start: number
  /** Position behind its last byte. */
  readonly end: number
  /** Hex. */
  readonly sha256: string
}

/** What local storage knows of an unfinished upload that B2 could not take all of. */
export interface SavedState {
  readonly info: ResumableInfo
  /** Parts that B2 has acknowledged, without a gap from the first one on. */
  readonly parts: readonly { readonly number: number, readonly etag: string }[]
  /** What B2 has behind them. */
  readonly tail: Tail | null
  /** What is here, without a gap from there on. */
  readonly segments: readonly Segment[]
  /** Whether B2 has the info. */
  readonly has_remote_info: boolean
  /** Unix time in milliseconds at which bytes came last. */
  readonly touched_at: number
}

const position = Type.Integer({ minimum: 0 })
const sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' })
const StateSchema = Type.Object({
  parts: Type.Array(Type.Object({ number: Type.Integer({ minimum: 1 }), etag: Type.String() })),
  tail: Type.Union([Type.Null(), Type.Object({ key: Type.String(), start: position, end: position, sha256 })]),
  segments: Type.Array(Type.Object({ file: Type.String({ pattern: '^[\\w-]+$' }), start: position, end: position, sha256 })),
  has_remote_info: Type.Boolean(),
  touched_at: position,
})

const STATE = 'state.json'
const CHUNK_BYTES = 1_048_576 // 1 MiB

/**
 * Unfinished uploads in local storage, a folder each below `.resumable`, where nothing looks for files: a state, and the bytes that B2 could not
 * take. The state is what counts: a file that it does not name is left by a kill.
 */
export class Disk {
  readonly #local: LocalStore
  readonly #root: string
  readonly #makeDirectory: (directory: string) => Promise<void>

  constructor (local: LocalStore) {
    this.#local = local
    this.#root = resolve(local.dir, '.resumable')
    this.#makeDirectory = createDirectoryMaker(local.writing)
  }

  /** The names of all that are here. @throws {LocalStoreError} */
  async names (): Promise<string[]> {
    return await explained(async () => await ifThere(this.#local.fs.readdir(this.#root)) ?? [])
  }

  /** The state of one; undefined if there is none that can be read. @throws {LocalStoreError} */
  async read (name: string, key: string): Promise<SavedState | undefined> {
    return await explained(async () => {
      const text = await ifThere(this.#local.reading.readFile(join(this.#root, name, STATE), 'utf8'))
      const value = text === undefined ? undefined : parseJson(text) as Record<string, unknown> | undefined
      const info = value === undefined ? undefined : parseInfo(JSON.stringify(value['info']), key)
      if (info === undefined || !Value.Check(StateSchema, value)) return undefined
      return { ...value, info }
    })
  }

  /** Writes the state down, durably. @throws {LocalStoreError} */
  async save (name: string, state: SavedState): Promise<void> {
    const folder = join(this.#root, name)
    await explained(async () => {
      await this.#makeDirectory(folder)
      const file = await PartFile.create(this.#local.writing, join(folder, `.state-${uuidv7()}.part`))
      await file.publish(state, join(folder, STATE))
    })
  }

  /** Removes all of an upload. @throws {LocalStoreError} */
  async remove (name: string): Promise<void> {
    await explained(async () => {
      await this.#local.writing.rm(join(this.#root, name), { recursive: true, force: true })
    })
  }

  /** Removes files that a state has named. Never rejects. */
  async drop (name: string, segments: readonly Segment[]): Promise<void> {
    for (const { file } of segments) await this.#local.writing.rm(join(this.#root, name, file), { force: true }).catch(() => {})
  }

  /** Begins a file for bytes from `start` on. */
  async create (name: string, start: number): Promise<SegmentWriter> {
    const folder = join(this.#root, name)
    return await explained(async () => {
      await this.#makeDirectory(folder)
      const file = `${start}-${uuidv7()}`
      const room = await this.#local.reserve(CHUNK_BYTES)
      const part = await PartFile.create(this.#local.writing, join(folder, `.${file}.part`)).catch((error: unknown) => {
        room.release()
        throw error
      })
      return new SegmentWriter(this.#local, part, room, folder, file, start)
    })
  }

  /** The bytes of segments from `from` on, each checked by its hash if it is read from its start. Errors are {@link LocalStoreError}s. */
  bytes (name: string, segments: readonly Segment[], from: number): Readable {
    return Readable.from(this.#read(name, segments, from), { objectMode: false })
  }

  async * #read (name: string, segments: readonly Segment[], from: number): AsyncGenerator<Buffer> {
    for (const { file, start, end, sha256 } of segments) {
      if (end <= from) continue
      const path = join(this.#root, name, file)
      const skip = Math.max(0, from - start)
      const hash = createHash('sha256')
      let bytes = 0
      try {
        const handle = await this.#local.reading.open(path, 'r')
        for await (const chunk of handle.createReadStream({ start: skip, end: end - start - 1 }) as AsyncIterable<Buffer>) {
          if (skip === 0) hash.update(chunk)
          bytes += chunk.byteLength
          yield chunk
        }
      } catch (error) {
        throw toLocalStoreError(error, 'What local storage has of the upload could not be read')
      }
      if (bytes !== end - start - skip || (skip === 0 && hash.digest('hex') !== sha256)) {
        throw new LocalStoreError('What local storage has of the upload is damaged', { error_code: 'io_error' })
      }
    }
  }

  /** Whether all files of a state are there: a kill may have come between the state and the last of them. */
  async hasAll (name: string, segments: readonly Segment[]): Promise<boolean> {
    return await explained(async () => {
      for (const { file } of segments) if (!await exists(this.#local.reading, join(this.#root, name, file))) return false
      return true
    })
  }
}

/** Writes one segment. It counts once a state names it. */
export class SegmentWriter {
  readonly #local: LocalStore
  readonly #part: PartFile
  readonly #room: Awaited<ReturnType<LocalStore['reserve']>>
  readonly #folder: string
  readonly #file: string
  readonly #start: number
  readonly #hash: Hash = createHash('sha256')

  constructor (local: LocalStore, part: PartFile, room: Awaited<ReturnType<LocalStore['reserve']>>, folder: string, file: string, start: number) {
    this.#local = local
    this.#part = part
    this.#room = room
    this.#folder = folder
    this.#file = file
    this.#start = start
  }

  /** @throws {LocalStoreError} */
  async write (bytes: Uint8Array): Promise<void> {
    await explained(async () => {
      if (this.#room.bytes < bytes.byteLength) await this.#room.add(Math.max(bytes.byteLength, CHUNK_BYTES))
      this.#hash.update(bytes)
      await this.#part.write(bytes)
      this.#room.wrote(bytes.byteLength)
    })
  }

  /** Makes it durable; undefined if it is empty. @throws {LocalStoreError} */
  async commit (): Promise<Segment | undefined> {
    const { length } = this.#part
    if (length === 0) {
      await this.discard()
      return undefined
    }
    return await explained(async () => {
      await this.#part.sync()
      await this.#part.rename(join(this.#folder, this.#file))
      await syncDirectory(this.#local.writing, this.#folder)
      await this.#part.close().catch(() => {}) // its bytes were synced before
      this.#room.release()
      return { file: this.#file, start: this.#start, end: this.#start + length, sha256: this.#hash.digest('hex') }
    })
  }

  /** Removes it. Never rejects. */
  async discard (): Promise<void> {
    this.#room.release()
    await this.#part.remove()
  }
}

async function explained<Result> (work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    throw toLocalStoreError(error, 'The upload could not be kept in local storage')
  }
}
