import { createHash } from 'node:crypto'
import { lstatSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { B2Emulator } from '../../../emulator/index.ts'
import type { SplitManifest } from '../../../services/local/manifest.ts'
import { contentOf, sliceOf } from '../clients/content.ts'
import type { Expected } from './expected.ts'

/** What a split file's receipt says of its parts; undefined if there is none. */
export function manifestOf (directory: string, key: string): SplitManifest | undefined {
  try {
    return JSON.parse(readFileSync(join(directory, `${key}.receipt.json`), 'utf8')).manifest
  } catch {
    return undefined
  }
}

/** The rest of a split file, and what belongs to it. */
export interface Rest {
  readonly manifest: SplitManifest
  /** Whether each of its bytes is what it should be. */
  readonly isRight: boolean
}

const known = new Map<string, Rest>()

/** What local storage has of a split file; undefined if it has nothing, or not all. A rest is read once, as long as it looks the same. */
export function restOf (directory: string, { key = '', upload }: Expected): Rest | undefined {
  const path = join(directory, `${key}.split-rest`)
  const stats = lstatSync(path, { throwIfNoEntry: false, bigint: true })
  const manifest = manifestOf(directory, key)
  if (stats === undefined || manifest === undefined) return undefined
  const stamp = `${path} ${stats.ino} ${stats.size} ${stats.mtimeNs}`
  const before = known.get(stamp)
  if (before !== undefined) return before
  const { part_bytes: partBytes, b2_parts: kept, local_parts: parts } = manifest
  const content = contentOf(upload.id, upload.size)
  const own = parts.map(({ number }) => sliceOf(content, (number - 1) * partBytes, Math.min(number * partBytes, upload.size) - 1))
  const numbers = [...kept, ...parts].map(({ number }) => number).sort((a, b) => a - b)
  const rest: Rest = {
    manifest,
    isRight: Buffer.concat(own).equals(read(path)) &&
      own.every((bytes, index) => createHash('sha256').update(bytes).digest('hex') === parts[index]!.sha256) &&
      numbers.length === Math.ceil(upload.size / partBytes) && numbers.every((number, index) => number === index + 1),
  }
  known.set(stamp, rest)
  return rest
}

/** Whether B2 has the parts that the manifest says it has. */
export function hasParts (b2: B2Emulator, { upload_id: uploadId, b2_parts: kept }: SplitManifest): boolean {
  const upload = b2.unfinishedUploads().find(upload => upload.uploadId === uploadId)
  return upload !== undefined && kept.every(({ number }) => upload.parts.includes(number))
}

function read (path: string): Buffer {
  try {
    return readFileSync(path)
  } catch {
    return Buffer.alloc(0)
  }
}
