import type { Hash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { AudioTags } from '../audio/tags.ts'
import type { B2Part } from '../b2/store.ts'
import type { SavedState, Segment } from './stores/disk.ts'
import { partCount } from './stores/info.ts'
import type { ResumableInfo } from './stores/info.ts'
import type { RemoteState, Tail } from './stores/remote.ts'

/** What this process remembers of the bytes of an upload. Another process can find it out again only by reading them. */
export interface Memory {
  /** A hash of the parts that B2 has. */
  readonly partsHash: Hash | undefined
  /** A hash of all that is safe. */
  readonly hash: Hash | undefined
  readonly audio: AudioTags | null | undefined
}

export const FORGOTTEN: Memory = { partsHash: undefined, hash: undefined, audio: undefined }

/**
 * An unfinished upload as it is in the stores: whole parts in B2 (`parts`), perhaps an object with the bytes behind them (`tail`), and behind
 * that what only local storage has (`segments`). None of it has a gap, so that the end of the last one is what a client is told.
 */
export class ResumableUpload {
  readonly name: string
  info: ResumableInfo
  parts: B2Part[] = []
  tail: Tail | undefined
  segments: readonly Segment[] = []
  /** Whether B2 has the info as it is. */
  hasRemoteInfo = false
  /** Whether local storage has a state of it. */
  isSaved = false
  /** Whether B2 has made the object of all parts, and only its receipt is missing. */
  isAssembled = false
  memory: Memory
  /** Unix time in milliseconds at which something came last. */
  touchedAt: number

  constructor (name: string, info: ResumableInfo, memory: Memory, touchedAt = Date.now()) {
    this.name = name
    this.info = info
    this.memory = memory
    this.touchedAt = touchedAt
  }

  /** The upload as the stores have it now. @param remote what B2 has; undefined if B2 can't be asked */
  static found (name: string, remote: RemoteState | undefined, saved: SavedState | undefined): ResumableUpload | undefined {
    const info = saved?.info ?? remote?.info
    if (info === undefined) return undefined
    const upload = new ResumableUpload(name, { ...remote?.info, ...info }, FORGOTTEN, Math.max(remote?.modifiedAt ?? 0, saved?.touched_at ?? 0))
    upload.isSaved = saved !== undefined
    // Local storage may know more, such as the id of the multipart upload, without which B2's parts are not found.
    upload.hasRemoteInfo = remote === undefined ? saved?.has_remote_info === true : saved === undefined || isDeepStrictEqual(remote.info, saved.info)
    upload.parts = remote === undefined ? [...saved?.parts ?? []] : wholeParts(remote, upload.info)
    const tails = [...remote?.tails ?? [], ...saved?.tail ? [saved.tail] : []].filter(({ start }) => start === upload.partsEnd)
    const candidates = [undefined, ...tails].map(tail => ({ tail, segments: follow(saved?.segments ?? [], tail?.end ?? upload.partsEnd) }))
    const best = candidates.reduce((best, one) => endOf(one) > endOf(best) ? one : best)
    Object.assign(upload, best)
    return upload
  }

  /** Position behind the parts that B2 has. */
  get partsEnd (): number { return this.parts.length * this.info.part_bytes }

  /** Bytes that are safe. */
  get offset (): number { return this.isAssembled ? (partCount(this.info)! - 1) * this.info.part_bytes : Math.max(this.partsEnd, endOf(this)) }

  /** Takes over what this process knows of the bytes, as far as they are still the same ones. */
  remember ({ parts, offset, memory }: ResumableUpload): void {
    const isSame = parts.length === this.parts.length && parts.every(({ etag }, index) => etag === this.parts[index]!.etag)
    this.memory = { audio: memory.audio, partsHash: isSame ? memory.partsHash : undefined, hash: isSame && offset === this.offset ? memory.hash : undefined }
  }

  /** For local storage. */
  get state (): SavedState {
    const { info, parts, tail = null, segments, hasRemoteInfo, touchedAt } = this
    return { info, parts, tail, segments, has_remote_info: hasRemoteInfo, touched_at: touchedAt }
  }
}

function endOf ({ tail, segments }: { tail?: Tail | undefined, segments: readonly Segment[] }): number {
  return segments.at(-1)?.end ?? tail?.end ?? 0
}

/** The segments that continue from a position on without a gap. */
function follow (segments: readonly Segment[], from: number): Segment[] {
  const found: Segment[] = []
  let end = from
  for (const segment of segments) {
    if (segment.end <= end) continue
    if (segment.start > end) break
    found.push(segment)
    end = segment.end
  }
  return found
}

/** The parts from the first one on. The last one of the file does not count: a client is not told that all has come before that is a file. */
function wholeParts ({ parts }: RemoteState, info: ResumableInfo): B2Part[] {
  const found: B2Part[] = []
  const most = (partCount(info) ?? Infinity) - 1
  for (let number = 1; number <= most; number++) {
    const part = parts?.get(number)
    if (part?.size !== info.part_bytes) break
    found.push({ number, etag: part.etag })
  }
  return found
}
