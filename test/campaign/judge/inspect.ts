import { createHash } from 'node:crypto'
import { createReadStream, lstatSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { BUCKET_MARKER } from '../../../services/local/bucket.ts'
import type { StoredObject, StoredVersion } from '../../../emulator/index.ts'
import { entriesBelow } from '../../support/disk/directory-entries.ts'
import { filenameOf } from '../clients/client.ts'
import type { Expectations, Expected } from './expected.ts'
import { hasParts, restOf } from './split.ts'
import type { Stage } from '../stage.ts'
import { Violation } from './violation.ts'

const COMPANION = '.receipt.json'

/** Key of the file that a receipt in B2 belongs to; undefined for what is no receipt. */
export function fileOf (key: string): string | undefined {
  return key.endsWith(COMPANION) ? key.slice(0, -COMPANION.length) : undefined
}

/** What is to be looked at. */
export type Scene = Pick<Stage, 'b2' | 'directory' | 'expectations' | 'orphans'>

/**
 * At any moment each promised file is somewhere, whole. Local storage is asked first: files go from there to B2 and never
 * back. @throws {Violation}
 */
export async function assertPromised ({ b2, directory, expectations }: Scene): Promise<void> {
  const all = expectations.of('promised')
  assertSplit({ b2, directory }, all.filter(({ storage }) => storage === 'split'))
  const promised = all.filter(({ storage }) => storage !== 'split')
  const here = new Map(promised.map(expected => [expected, isHere(directory, expected)]))
  const inB2 = new Map(b2.objects().map(object => [object.key, object]))
  for (const [expected, wasHere] of here) {
    const { upload, key = '', sha256, storage } = expected
    const object = inB2.get(key)
    if (object === undefined && storage === 'b2') throw new Violation('lost-file', `${upload.id} ${key} was stored in B2, and is not there`)
    if (object === undefined && !wasHere) throw new Violation('lost-file', `${upload.id} ${key} is in neither store`)
    if (object !== undefined && object.sha256 !== sha256) throw new Violation('wrong-bytes', `${upload.id} ${key} is in B2 with other bytes`)
    if (wasHere && await hashOf(join(directory, key)) !== sha256) {
      // It may have moved in between.
      const now = b2.objects().find(object => object.key === key)
      if (now?.sha256 !== sha256) throw new Violation('wrong-bytes', `${upload.id} ${key} is in local storage with other bytes`)
    }
  }
}

/** Split files are joined in B2, or what is here is right and B2 has all that is not here. */
function assertSplit ({ b2, directory }: Pick<Stage, 'b2' | 'directory'>, split: readonly Expected[]): void {
  const rests = new Map(split.map(expected => [expected, restOf(directory, expected)]))
  const inB2 = new Map(b2.objects().map(object => [object.key, object]))
  for (const [{ upload, key = '', sha256 }, rest] of rests) {
    const object = inB2.get(key)
    if (object !== undefined && object.sha256 !== sha256) throw new Violation('wrong-bytes', `${upload.id} ${key} was joined in B2 with other bytes`)
    if (object !== undefined) continue
    if (rest === undefined) throw new Violation('lost-file', `${upload.id} ${key} was split, and its rest is neither in local storage nor in B2`)
    if (!rest.isRight) throw new Violation('wrong-bytes', `${upload.id} ${key} was split, and its rest in local storage has other bytes`)
    if (!hasParts(b2, rest.manifest)) throw new Violation('lost-file', `${upload.id} ${key} was split, and its first parts are not in B2 any more`)
  }
}

/** Whether local storage has it, or the rest of it. */
export function isHere (directory: string, expected: Expected): boolean {
  const { key = '', upload, storage } = expected
  if (storage === 'split') return restOf(directory, expected) !== undefined
  const stats = lstatSync(join(directory, key), { throwIfNoEntry: false })
  return stats?.size === upload.size && lstatSync(join(directory, `${key}${COMPANION}`), { throwIfNoEntry: false }) !== undefined
}

const hashes = new Map<string, string>()

/** Undefined where it is gone. Files are hashed once, as long as they look the same. */
async function hashOf (path: string): Promise<string | undefined> {
  const stats = lstatSync(path, { throwIfNoEntry: false, bigint: true })
  if (stats === undefined) return undefined
  const stamp = `${path} ${stats.ino} ${stats.size} ${stats.mtimeNs}`
  const known = hashes.get(stamp)
  if (known !== undefined) return known
  const hash = createHash('sha256')
  try {
    await pipeline(createReadStream(path), hash)
  } catch {
    return undefined
  }
  const hex = hash.digest('hex')
  hashes.set(stamp, hex)
  return hex
}

/** All that there is beyond the promised files, or is wrong with them, once everything is in B2. Empty where all is well. */
export async function strayThings (scene: Scene): Promise<string[]> {
  return [...strayObjects(scene), ...strayUploads(scene), ...await strayFiles(scene.directory)]
}

function strayObjects ({ b2, expectations, orphans }: Scene): string[] {
  const stray: string[] = []
  const versions = new Map<string, StoredVersion[]>()
  for (const version of b2.versions()) versions.set(version.key, [...versions.get(version.key) ?? [], version])
  for (const [key, [newest, ...older]] of versions) {
    if (older.length > 0 || newest!.isHideMarker) stray.push(`${key} has ${older.length + 1} versions`)
    if (fileOf(key) !== undefined) continue
    const expected = expectations.byKey(key) ?? untoldOwner(expectations, newest!)
    if (expected === undefined || !['promised', 'perhaps'].includes(expected.fate)) {
      stray.push(`the object ${key} (${newest!.size} bytes, ${newest!.metadata['filename']}) is there, its upload is ${expected?.fate ?? 'unknown'}`)
    } else if (newest!.sha256 !== expected.sha256) {
      stray.push(`the object ${key} of ${expected.upload.id} has other bytes`)
    }
    const companion = b2.read(`${key}${COMPANION}`)
    if (newest!.metadata['receipt'] === undefined && companion === undefined) stray.push(`${key} has no receipt`)
    // It may be there beside the other one: an attempt to store several parts failed at its end, and the file was promoted.
    if (companion !== undefined && JSON.parse(String(companion)).sha256 !== newest!.sha256) stray.push(`${key} has another file's receipt`)
  }
  for (const key of versions.keys()) {
    const file = fileOf(key)
    if (file !== undefined && !versions.has(file) && !orphans.has(key)) stray.push(`the receipt ${key} is alone`)
  }
  for (const { key = '', upload } of expectations.of('promised')) {
    if (!versions.has(key)) stray.push(`${upload.id} ${key} is not in B2 yet`)
  }
  return stray
}

/** Whose file it is, where nobody was told whether it is stored. */
function untoldOwner (expectations: Expectations, { metadata }: StoredObject): Expected | undefined {
  return expectations.of('perhaps').find(({ upload }) => filenameOf(upload.id) === metadata['filename'])
}

/** All has come to rest: files of which nobody was told are promised from now on where they are there, and the others are not. */
export function settleDoubts ({ b2, expectations }: Scene): void {
  for (const object of b2.objects()) {
    const expected = untoldOwner(expectations, object)
    if (expected !== undefined) Object.assign(expected, { key: object.key, fate: 'promised' })
  }
  for (const expected of expectations.of('perhaps')) expected.fate = 'absent'
}

function strayUploads ({ b2, expectations, orphans }: Scene): string[] {
  const split = new Set(expectations.all().map(({ uploadId }) => uploadId))
  return b2.unfinishedUploads().filter(({ uploadId }) => !orphans.has(uploadId) || split.has(uploadId))
    .map(({ key, uploadId, parts }) => `the upload ${uploadId} of ${key} is unfinished, with ${parts.length} parts`)
}

async function strayFiles (directory: string): Promise<string[]> {
  const entries = await entriesBelow(directory)
  const files = entries.filter(entry => !entry.isDirectory() && entry.name !== BUCKET_MARKER && !isHeldNote(join(entry.parentPath, entry.name)))
  return files.map(entry => `the file ${join(entry.parentPath, entry.name).slice(directory.length + 1)} is in local storage`)
}

export async function hasSetAside (directory: string): Promise<boolean> {
  return (await entriesBelow(directory)).some(({ name }) => name.endsWith('.set-aside.json'))
}

/** Deletions of files that may have been promoted without a claim are remembered for ten minutes. */
function isHeldNote (path: string): boolean {
  if (!path.includes('/.leftovers/')) return false
  try {
    return JSON.parse(readFileSync(path, 'utf8')).unclaimed === true
  } catch {
    return false
  }
}
