import { createHash } from 'node:crypto'
import { isTrack } from '../receipt.ts'
import type { Track } from '../receipt.ts'

/**
 * What is known of a file is kept with the file: in the object's metadata if it fits, else in a small companion object beside
 * it.
 */

// B2 allows this much for all metadata headers of a bucket that is encrypted or has object lock (7,000 bytes elsewhere).
const LARGEST_METADATA = 2_048
const HEADER_PREFIX = 'x-amz-meta-'
const LONGEST_FILENAME = 1_000

/** What is known of a file when its upload to B2 begins: all of its track, or only its name. */
export type KnownOfFile = Track | Pick<Track, 'filename'>

const ATTEMPT = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
const COMPANION = new RegExp(`^(.+?)(?:\\.(${ATTEMPT}))?\\.receipt\\.json$`, 's')

/**
 * Key of the object that holds the receipt of `key` if its metadata doesn't.
 * @param attempt of the upload, if others may have the same key: each has its own companion, so that no receipt is taken for that of another object
 */
export function companionKey (key: string, attempt?: string): string {
  return attempt === undefined ? `${key}.receipt.json` : `${key}.${attempt}.receipt.json`
}

/** The key of the file that this one belongs to: its own, or the one that it is a companion's of. */
export function keyOfFile (key: string): string {
  return COMPANION.exec(key)?.[1] ?? key
}

/**
 * Metadata of a file's object: `filename`, `sha256` (hex) and `receipt`, in printable US-ASCII. The receipt is left out if it is
 * not known yet or makes the headers too large; then {@link needsCompanion} is true.
 * @param attempt tells this object from others that may be stored under the same key: a UUID
 */
export function objectMetadata (file: KnownOfFile, attempt?: string): Record<string, string> {
  const name = encodeURIComponent(file.filename)
  const known = { ...attemptMetadata(attempt), ...(name.length <= LONGEST_FILENAME ? { filename: name } : {}) }
  if (!('sha256' in file)) return known
  const { id, key, size_bytes, sha256, ...rest } = file
  const metadata = { ...known, sha256 }
  const whole = { ...metadata, receipt: encode(JSON.stringify(rest)) }
  return headerBytes(whole) <= LARGEST_METADATA ? whole : metadata
}

/** What an object says of its attempt. */
export function attemptMetadata (attempt: string | undefined): { attempt?: string } {
  return attempt === undefined ? {} : { attempt }
}

/** The attempt that stored an object; undefined if its key was only ever one upload's. */
export function attemptOf (metadata: Record<string, string> | undefined): string | undefined {
  return metadata?.['attempt']
}

/** Whether the receipt has to be stored beside the object with this metadata. */
export function needsCompanion (metadata: Record<string, string>): boolean {
  return metadata['receipt'] === undefined
}

/**
 * Content of the companion object.
 * @param etag that the object will have, if another process may make another object of the same key and size
 */
export function companionBody (track: Track, etag?: string): Uint8Array {
  return Buffer.from(JSON.stringify(etag === undefined ? track : { ...track, object_etag: etag }))
}

/**
 * The ETag that an object has which is made of parts with these ETags: the MD5 of their MD5s, as S3 servers make it. Undefined if they are no MD5s.
 */
export function etagOfParts (parts: readonly { readonly etag: string }[]): string | undefined {
  const digests = parts.map(({ etag }) => /^"?([0-9a-f]{32})"?$/.exec(etag)?.[1])
  if (!digests.every(digest => digest !== undefined)) return undefined
  return `"${createHash('md5').update(Buffer.from(digests.join(''), 'hex')).digest('hex')}-${parts.length}"`
}

/** Whether two ETags are certainly of different objects: both are made of the MD5s of parts, and they differ. */
export function areDifferent (one: string | undefined, other: string | undefined): boolean {
  const [first, second] = [one, other].map(etag => /^"?([0-9a-f]{32}-\d+)"?$/.exec(etag ?? '')?.[1])
  return first !== undefined && second !== undefined && first !== second
}

/** The hash in an object's metadata, if it has one. */
export function sha256Of (metadata: Record<string, string> | undefined): string | undefined {
  const sha256 = metadata?.['sha256']
  return sha256 !== undefined && /^[0-9a-f]{64}$/.test(sha256) ? sha256 : undefined
}

/** The track in the metadata of the object `key` of `size` bytes; undefined if there is none that can be read. */
export function trackFromMetadata (key: string, size: number, metadata: Record<string, string> | undefined): Track | undefined {
  const receipt = metadata?.['receipt']
  if (receipt === undefined) return undefined
  const rest = parse(() => decodeURIComponent(receipt))
  if (typeof rest !== 'object' || rest === null) return undefined
  const id = key.slice(key.lastIndexOf('/') + 1).split('.', 1)[0]
  const track: unknown = { ...rest, id, key, size_bytes: size, sha256: sha256Of(metadata) }
  return isTrack(track) ? inOrder(track) : undefined
}

/** The track in a companion of an object; undefined if the companion belongs to another object. */
export function trackFromCompanion ({ key, size, etag }: { key: string, size: number, etag: string | undefined }, body: Uint8Array): Track | undefined {
  const { object_etag: own, ...track } = Object(parse(() => Buffer.from(body).toString())) as { object_etag?: string }
  return isTrack(track) && track.key === key && track.size_bytes === size && !areDifferent(own, etag) ? track : undefined
}

function parse (text: () => string): unknown {
  try {
    return JSON.parse(text())
  } catch {
    return undefined
  }
}

/** In the order of the answer to the upload. */
function inOrder ({ id, key, filename, content_type, size_bytes, sha256, ...rest }: Track): Track {
  return { id, key, filename, content_type, size_bytes, sha256, ...rest }
}

/** Percent-encodes all but the printable US-ASCII that a header may hold anywhere; what JSON is made of stays legible. */
function encode (text: string): string {
  return text.replace(/[^!-$&-~]+/g, found => encodeURIComponent(found))
}

function headerBytes (metadata: Record<string, string>): number {
  return Object.entries(metadata).reduce((sum, [name, value]) => sum + HEADER_PREFIX.length + name.length + value.length, 0)
}
