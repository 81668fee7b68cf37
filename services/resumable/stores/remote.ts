import { createHash } from 'node:crypto'
import { B2ReadError } from '../../b2/read-requests.ts'
import type { ListedObject, ListedPart } from '../../b2/object-reader.ts'
import type { B2Result, B2Store } from '../../b2/store.ts'
import type { UploadContext } from '../../log.ts'
import { parseInfo } from './info.ts'
import type { ResumableInfo } from './info.ts'

/** An object with the bytes behind the whole parts. */
export interface Tail {
  readonly key: string
  /** Position in the file of its first byte: the end of a whole part. */
  readonly start: number
  /** Position behind its last byte. */
  readonly end: number
  /** Hex. */
  readonly sha256: string
}

/** What B2 has of an unfinished upload. */
export interface RemoteState {
  readonly info: ResumableInfo
  /** Parts by their numbers; undefined if B2 does not have the multipart upload any more. Empty if none has begun. */
  readonly parts: ReadonlyMap<number, ListedPart> | undefined
  readonly tails: readonly Tail[]
  /** Unix time in milliseconds of what came last. */
  readonly modifiedAt: number
}

const INFO = 'info.json'
const TAIL = /^tail-(\d{15})-(\d{15})-([0-9a-f]{64})$/
const LARGEST_INFO = 1_048_576 // 1 MiB
const pad = (position: number): string => String(position).padStart(15, '0')

/** The small objects of unfinished uploads in B2, below `.resumable/` of the prefix. */
export class Remote {
  readonly #b2: B2Store
  /** What the keys of all of them begin with. */
  readonly root: string

  constructor (b2: B2Store, keyPrefix: string) {
    this.#b2 = b2
    this.root = `${keyPrefix}.resumable/`
  }

  /** What the keys of one upload's objects begin with. */
  folder (name: string): string { return `${this.root}${name}/` }

  infoKey (name: string): string { return `${this.folder(name)}${INFO}` }

  async putInfo (name: string, info: ResumableInfo, context: UploadContext, signal: AbortSignal): Promise<B2Result> {
    return await this.#put(this.infoKey(name), Buffer.from(JSON.stringify(info)), 'application/json', context, signal)
  }

  /** Stores the bytes behind the whole parts. Never rejects. */
  async putTail (name: string, start: number, bytes: Uint8Array, context: UploadContext, signal: AbortSignal): Promise<B2Result & { readonly tail: Tail }> {
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const end = start + bytes.byteLength
    const key = `${this.folder(name)}tail-${pad(start)}-${pad(end)}-${sha256}`
    return { ...await this.#put(key, bytes, 'application/octet-stream', context, signal, sha256), tail: { key, start, end, sha256 } }
  }

  async #put (key: string, body: Uint8Array, contentType: string, context: UploadContext, signal: AbortSignal, sha256 = createHash('sha256').update(body).digest('hex')): Promise<B2Result> {
    return await this.#b2.put({ key, contentType, context }, body, sha256, { signal })
  }

  /** What B2 has of the upload of this file; undefined if it has none. @throws {B2ReadError} */
  async find (name: string, fileKey: string, signal?: AbortSignal): Promise<RemoteState | undefined> {
    const folder = this.folder(name)
    const objects: ListedObject[] = []
    for await (const object of this.#b2.list(folder, signal)) objects.push(object)
    const info = objects.some(({ key }) => key === `${folder}${INFO}`) ? await this.#readInfo(`${folder}${INFO}`, fileKey, signal) : undefined
    if (info === undefined) return undefined
    const parts = info.upload_id === undefined ? new Map<number, ListedPart>() : await this.#b2.parts(fileKey, info.upload_id, signal)
    const tails = objects.flatMap(({ key }) => {
      const [, start, end, sha256] = TAIL.exec(key.slice(folder.length)) ?? []
      return sha256 === undefined ? [] : [{ key, start: Number(start), end: Number(end), sha256 }]
    })
    const times = [...objects, ...parts?.values() ?? []].map(({ modifiedAt }) => modifiedAt)
    return { info, parts, tails, modifiedAt: times.reduce((last, time) => Math.max(last, time), 0) }
  }

  async #readInfo (key: string, fileKey: string, signal?: AbortSignal): Promise<ResumableInfo | undefined> {
    const stream = await this.#b2.read(key, undefined, signal)
    if (stream === undefined) return undefined
    const chunks: Buffer[] = []
    let bytes = 0
    for await (const chunk of stream) {
      chunks.push(chunk as Buffer)
      bytes += (chunk as Buffer).byteLength
      if (bytes > LARGEST_INFO) return undefined
    }
    return parseInfo(Buffer.concat(chunks).toString(), fileKey)
  }

  /** Whether B2 has an unfinished upload of this name. @throws {B2ReadError} */
  async hasInfo (name: string): Promise<boolean> {
    return await this.#b2.head(this.infoKey(name)) !== undefined
  }

  /** The names of all uploads that have something there, with the time of the newest object, page by page. @throws {B2ReadError} */
  async * names (signal: AbortSignal): AsyncGenerator<{ readonly name: string, readonly modifiedAt: number }> {
    let current: { name: string, modifiedAt: number } | undefined
    for await (const { key, modifiedAt } of this.#b2.list(this.root, signal)) {
      const name = key.slice(this.root.length).split('/', 1)[0]!
      if (current?.name === name) {
        current.modifiedAt = Math.max(current.modifiedAt, modifiedAt)
        continue
      }
      if (current !== undefined) yield current
      current = { name, modifiedAt }
    }
    if (current !== undefined) yield current
  }
}

/** Whether B2 refused because its key may not list. */
export function mayNotList (error: unknown): boolean {
  return error instanceof B2ReadError && error.error_code === 'access_denied'
}
