import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { NAME_PATTERN } from '../keys.ts'

const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
// What stands before the id is the end of a key prefix that does not end in a slash.
const NAME = `(?:[^./\\\\\\0](?:[^/\\\\\\0]*[^./\\\\\\0])?)?${NAME_PATTERN}`

const DATA = new RegExp(`^${NAME}$`)
/** The usual ones, which are told ten times as fast. */
const BARE = new RegExp(`^${NAME_PATTERN}$`)
const RECEIPT = '.receipt.json'
const NOTE = '.set-aside.json'
// The leading dot tells them from a whole file: a client's `song.part` is stored as `<uuid>.part`.
const PART = new RegExp(`^\\.(?:${NAME}|${NAME}\\.receipt\\.json|(?:probe|note|claim)-${UUID})\\.part$`)
const CLAIM = new RegExp(`^\\.${NAME}\\.claim$`)

/** The paths that belong to one key. */
export interface LocalPlace {
  /** The directory the others lie in. */
  directory: string
  data: string
  dataPart: string
  receipt: string
  receiptPart: string
  /** Says that the file must not be promoted, and why. A name of its own, so that a listing tells it without reading a receipt. */
  note: string
  /** Says that somebody is promoting the file. */
  claim: string
}

/**
 * What a file in the store's directory is, judged by its name alone; undefined: not ours. `live`: part files and claims,
 * which mean something only while their owner keeps them fresh.
 */
export type LocalFileKind = { kind: 'data' | 'receipt' | 'note', name: string } | { kind: 'live' }

/**
 * Checks a key (`<prefix><UUIDv7>[.ext]`). Keys are made by the service, but here one becomes a path.
 * @throws TypeError when it is anything else, or could lead out of the directory
 */
export function assertKey (key: string): void {
  const segments = key.split('/')
  const name = segments.pop() ?? ''
  const unsafe = segments.some(segment => segment === '' || segment === '.' || segment === '..' || /[\\\0]/.test(segment))
  if (unsafe || !DATA.test(name)) throw new TypeError('the key is not one of this service')
}

/**
 * @param root absolute path of the store's directory
 * @throws TypeError on a bad key
 */
export function placeOf (root: string, key: string): LocalPlace {
  assertKey(key)
  const segments = key.split('/')
  const name = segments.pop() ?? ''
  return placeIn(join(root, ...segments), name)
}

/** The paths of the file called `name` (which has been checked) in `directory`. */
export function placeIn (directory: string, name: string): LocalPlace {
  return {
    directory,
    data: join(directory, name),
    dataPart: join(directory, `.${name}.part`),
    receipt: join(directory, receiptName(name)),
    receiptPart: join(directory, `.${receiptName(name)}.part`),
    note: join(directory, noteName(name)),
    claim: join(directory, `.${name}.claim`)
  }
}

export function receiptName (name: string): string {
  return `${name}${RECEIPT}`
}

export function noteName (name: string): string {
  return `${name}${NOTE}`
}

/** A name that nobody else has. It is that of a part file, so that one left behind by a kill is swept like any other. */
export function temporaryName (purpose: 'probe' | 'note' | 'claim'): string {
  return `.${purpose}-${randomUUID()}.part`
}

/**
 * Whether a directory inside the store's may hold files of ours. Those with a dot are somebody else's (the snapshots of a
 * volume have copies of everything in them), and no key has a backslash.
 */
export function isSearched (directoryName: string): boolean {
  return !directoryName.startsWith('.') && !directoryName.includes('\\')
}

export function kindOf (fileName: string): LocalFileKind | undefined {
  if (fileName.startsWith('.')) return PART.test(fileName) || CLAIM.test(fileName) ? { kind: 'live' } : undefined
  const [kind, length] = fileName.endsWith(RECEIPT) ? ['receipt', RECEIPT.length] as const : fileName.endsWith(NOTE) ? ['note', NOTE.length] as const : ['data', 0] as const
  const name = fileName.slice(0, fileName.length - length)
  return BARE.test(name) || DATA.test(name) ? { kind, name } : undefined
}
