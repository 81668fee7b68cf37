import { join } from 'node:path'

const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
const UUID_V7 = '[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}'
const NAME = `${UUID_V7}(?:\\.[a-z0-9]{1,8})?`

const DATA = new RegExp(`^${NAME}$`)
const RECEIPT = new RegExp(`^(${NAME})\\.receipt\\.json$`)
// The leading dot tells them from a whole file: a client's `song.part` is stored as `<uuid>.part`.
const PART = new RegExp(`^\\.(?:${NAME}|${NAME}\\.receipt\\.json|probe-${UUID})\\.part$`)

/** The paths that belong to one key. */
export interface LocalPlace {
  /** The directory the others lie in. */
  directory: string
  data: string
  dataPart: string
  receipt: string
  receiptPart: string
}

/** What a file in the store's directory is, judged by its name alone; undefined: not ours. */
export type LocalFileKind = { kind: 'data', name: string } | { kind: 'receipt', name: string } | { kind: 'part' }

/**
 * Checks a key (`<prefix segments>/<UUIDv7>[.ext]`). Keys are made by the service, but here one becomes a path.
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
    receiptPart: join(directory, `.${receiptName(name)}.part`)
  }
}

export function receiptName (name: string): string {
  return `${name}.receipt.json`
}

/** A probe's name is that of a part file, so that one left behind by a kill is swept like any other. */
export function probeName (uuid: string): string {
  return `.probe-${uuid}.part`
}

export function kindOf (fileName: string): LocalFileKind | undefined {
  if (PART.test(fileName)) return { kind: 'part' }
  if (DATA.test(fileName)) return { kind: 'data', name: fileName }
  const name = RECEIPT.exec(fileName)?.[1]
  return name === undefined ? undefined : { kind: 'receipt', name }
}
