import { createHash } from 'node:crypto'

/** The bytes of an object or a part, with their size and hashes. */
export interface Content {
  chunks: readonly Buffer[]
  size: number
  md5: string
  /** Hex; undefined until sha256Of computes it. */
  sha256: string | undefined
}

/** What the writer said about an object: kept and given back as sent. */
export interface ObjectInfo {
  contentType: string
  /** `x-amz-meta-` headers without that prefix, names in lower case. */
  metadata: Record<string, string>
  /** Other headers that are stored and sent again: Cache-Control, Content-Disposition and so on. */
  headers: Record<string, string>
}

/** One version of a key as the store keeps it. */
export interface Version extends ObjectInfo {
  key: string
  versionId: string
  /** A hide marker has no content: it makes the key look deleted. */
  isHideMarker: boolean
  content: Content
  /** Without quotes. */
  etag: string
  lastModified: Date
}

const NO_CONTENT: Content = { chunks: [], size: 0, md5: createHash('md5').digest('hex'), sha256: createHash('sha256').digest('hex') }

/** Byte order of the UTF-8 form, which is how S3 lists keys; JavaScript's own order differs beyond the BMP. */
export function compareKeys (a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b))
}

export function sha256Of (content: Content): string {
  if (content.sha256 === undefined) {
    const hash = createHash('sha256')
    for (const chunk of content.chunks) hash.update(chunk)
    content.sha256 = hash.digest('hex')
  }
  return content.sha256
}

let sequence = 0

/** Long and never repeated, in the form of B2's file ids; a multipart upload's id differs in the letter after `f`. */
export function newFileId (kind: 'file' | 'upload'): string {
  sequence += 1
  const stamp = new Date().toISOString().replace(/\D/g, '')
  const serial = (kind === 'file' ? '1' : '2') + sequence.toString(16).padStart(15, '0')
  return `4_ze0a7b9c8d6f5000000000001_f${serial}_d${stamp.slice(0, 8)}_m${stamp.slice(8, 14)}_c004_v0402000_t0${stamp.slice(14, 17)}`
}

/** The bucket: every key with its versions, newest first. */
export class ObjectStore {
  readonly #versions = new Map<string, Version[]>()

  /** Adds a version on top; nothing is overwritten, as in every B2 bucket. */
  put (key: string, info: ObjectInfo, content: Content, etag = content.md5): Version {
    return this.#add({ key, versionId: newFileId('file'), isHideMarker: false, content, etag, lastModified: new Date(), ...info })
  }

  /** Puts a hide marker on top; undefined if there is nothing visible to hide. */
  hide (key: string): Version | undefined {
    if (this.current(key) === undefined) return undefined
    return this.#add({
      key,
      versionId: newFileId('file'),
      isHideMarker: true,
      content: NO_CONTENT,
      etag: '',
      lastModified: new Date(),
      contentType: 'application/x-bz-hide-marker',
      metadata: {},
      headers: {},
    })
  }

  #add (version: Version): Version {
    const versions = this.#versions.get(version.key)
    if (versions === undefined) this.#versions.set(version.key, [version])
    else versions.unshift(version)
    return version
  }

  /** Removes one version for good; returns it, or undefined if there is none. */
  remove (key: string, versionId: string): Version | undefined {
    const versions = this.#versions.get(key) ?? []
    const index = versions.findIndex((version) => version.versionId === versionId)
    if (index === -1) return undefined
    const [removed] = versions.splice(index, 1)
    if (versions.length === 0) this.#versions.delete(key)
    return removed
  }

  /** The visible version of a key: the newest, unless that is a hide marker. */
  current (key: string): Version | undefined {
    const newest = this.#versions.get(key)?.[0]
    return newest?.isHideMarker === true ? undefined : newest
  }

  version (key: string, versionId: string): Version | undefined {
    return this.#versions.get(key)?.find((version) => version.versionId === versionId)
  }

  /** Every version, by key in listing order, newest first within a key. */
  all (): Version[] {
    return [...this.#versions.keys()].sort(compareKeys).flatMap((key) => this.#versions.get(key) ?? [])
  }

  isLatest (version: Version): boolean {
    return this.#versions.get(version.key)?.[0] === version
  }

  clear (): void {
    this.#versions.clear()
  }
}
