import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { NAME_PATTERN } from '../keys.ts'

const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
// Before the id may be the end of a key prefix that does not end in a slash.
const NAME = `(?:[^./\\\\\\0](?:[^/\\\\\\0]*[^./\\\\\\0])?)?${NAME_PATTERN}`

const DATA = new RegExp(`^${NAME}$`)
/** The usual names, which match ten times as fast. */
const BARE = new RegExp(`^${NAME_PATTERN}$`)
const RECEIPT = '.receipt.json'
const NOTE = '.set-aside.json'
// No extension of a client's can look like this.
const REST = '.split-rest'
// The leading dot marks what is not a whole file: a client's `song.part` is stored as `<uuid>.part`.
const PART = new RegExp(`^\\.(?:${NAME}|${NAME}\\.receipt\\.json|(?:probe|note|claim)-${UUID})\\.part$`)
const CLAIM = new RegExp(`^\\.${NAME}\\.claim$`)

const SUFFIXES = [['receipt', RECEIPT], ['note', NOTE], ['rest', REST]] as const

/** The paths that belong to one key. */
export interface LocalPlace {
  /** The directory of the others. */
  directory: string
  data: string
  /** What B2 lacks of a split file. A key has this or `data`, never both; either one is written under `dataPart`. */
  rest: string
  dataPart: string
  receipt: string
  receiptPart: string
  /** Says that the file must not be promoted, and why. It is a file, so that a listing shows it without reading a receipt. */
  note: string
  /** Says that a process is promoting the file. */
  claim: string
}

/**
 * What a file in the store's directory is, by its name; undefined: not a file of this service. `live`: part files and claims,
 * which count only while their owner keeps them fresh.
 */
export type LocalFileKind = { kind: 'data' | 'rest' | 'receipt' | 'note', name: string } | { kind: 'live' }

/**
 * Checks a key (`<prefix><UUID>[.ext]`). The service makes keys, but here one becomes a path.
 * @throws TypeError if it is anything else, or could lead out of the directory
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
    rest: join(directory, `${name}${REST}`),
    dataPart: join(directory, `.${name}.part`),
    receipt: join(directory, receiptName(name)),
    receiptPart: join(directory, `.${receiptName(name)}.part`),
    note: join(directory, noteName(name)),
    claim: join(directory, `.${name}.claim`)
  }
}

function receiptName (name: string): string {
  return `${name}${RECEIPT}`
}

function noteName (name: string): string {
  return `${name}${NOTE}`
}

/** A unique name. It is a part file's, so that the sweep removes the file if a kill leaves it behind. */
export function temporaryName (purpose: 'probe' | 'note' | 'claim'): string {
  return `.${purpose}-${randomUUID()}.part`
}

/**
 * Whether a directory inside the store's may hold files of this service. Those with a dot don't (the snapshots of a volume, for
 * example, have copies of everything), and no key has a backslash.
 */
export function isSearched (directoryName: string): boolean {
  return !directoryName.startsWith('.') && !directoryName.includes('\\')
}

export function kindOf (fileName: string): LocalFileKind | undefined {
  if (fileName.startsWith('.')) return PART.test(fileName) || CLAIM.test(fileName) ? { kind: 'live' } : undefined
  const [kind, suffix] = SUFFIXES.find(([, ending]) => fileName.endsWith(ending)) ?? (['data', ''] as const)
  const name = fileName.slice(0, fileName.length - suffix.length)
  return BARE.test(name) || DATA.test(name) ? { kind, name } : undefined
}
