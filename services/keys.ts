import { createHash, randomUUID } from 'node:crypto'

/** UUID version 7 (RFC 9562 §5.7): ordered by time, so that keys list in the order of their uploads. */
export function uuidv7 (now = Date.now()): string {
  const time = now.toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}` // a version 4 has its random bits in the same places
}

/**
 * UUID version 8 (RFC 9562 §5.8) made of a caller and its Idempotency-Key: the same for both, at any time and in any process. Who knows both
 * knows the id.
 * @param caller null for the app itself
 * @param kind of the upload: the keys of different kinds have nothing to do with each other
 */
export function keyedUuid (caller: string | null, idempotencyKey: string, kind?: 'resumable'): string {
  // A list of texts can be read in one way only, so no caller can choose a key that makes it another caller.
  const hash = createHash('sha256').update(JSON.stringify(['fastify-b2-uploads Idempotency-Key', caller, idempotencyKey, ...(kind === undefined ? [] : [kind])])).digest('hex')
  const variant = (parseInt(hash[16]!, 16) & 3 | 8).toString(16)
  return `${hash.slice(0, 8)}-${hash.slice(8, 12)}-8${hash.slice(13, 16)}-${variant}${hash.slice(17, 20)}-${hash.slice(20, 32)}`
}

/** Whether clients may send this as an Idempotency-Key. */
export function isIdempotencyKey (value: unknown): value is string {
  return typeof value === 'string' && /^[\x20-\x7e]{1,255}$/.test(value)
}

const MOST_CHARACTERS = 255
const EXTENSION = /\.[a-zA-Z0-9]{1,8}$/

/**
 * The base name of what a client calls its file: no folders of any system, no control characters, Unicode kept, at most
 * 255 characters, of which the last are its extension; `file` if nothing is left.
 */
export function baseName (clientName: string | undefined): string {
  const last = (clientName ?? '').split(/[/\\]/).at(-1)!
  const clean = last.toWellFormed().replace(/[\p{Cc}\p{Bidi_Control}]/gu, '').trim()
  if (clean === '' || clean === '.' || clean === '..') return 'file'
  const characters = [...clean]
  if (characters.length <= MOST_CHARACTERS) return clean
  const extension = EXTENSION.exec(clean)?.[0] ?? ''
  return characters.slice(0, MOST_CHARACTERS - extension.length).join('') + extension
}

/** The key of a new file: prefix, id, and the client's extension if it is harmless. Nothing else of its name is in it. */
export function newKey (prefix: string, id: string, filename: string): string {
  const extension = /\.([a-z0-9]{1,8})$/.exec(filename.toLowerCase())?.[1]
  return extension === undefined ? `${prefix}${id}` : `${prefix}${id}.${extension}`
}

/** What follows the prefix in a key, as the source of a regular expression: ids are of version 7, or of version 8 if an Idempotency-Key came. */
export const NAME_PATTERN = '[0-9a-f]{8}-[0-9a-f]{4}-[78][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}(?:\\.[a-z0-9]{1,8})?'
const AT_END = new RegExp(`${NAME_PATTERN}$`)
const UNPREFIXED = new RegExp(`^${NAME_PATTERN}$`)

/** Whether {@link newKey} can have made this key: anything else under the prefix is somebody else's. */
export function isKey (prefix: string, key: string): boolean {
  return key.startsWith(prefix) && UNPREFIXED.test(key.slice(prefix.length))
}

/** Whether the file of this name, or key, came with an Idempotency-Key: then several uploads may have the same key. */
export function isKeyed (name: string): boolean {
  return AT_END.exec(name)?.[0][VERSION_AT] === '8'
}

const VERSION_AT = 14

/** When the file of this name was uploaded, in milliseconds since 1970, if its id begins with that. Undefined if it doesn't: its receipt tells. */
export function timeOfName (name: string): number | undefined {
  const id = AT_END.exec(name)?.[0]
  return id === undefined || id[VERSION_AT] === '8' ? undefined : parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
}

/** The id in the name of a file; undefined if there is none. */
export function idOfName (name: string): string | undefined {
  return AT_END.exec(name)?.[0].split('.', 1)[0]
}

const MOST_PREFIX_BYTES = 900
// With the id, the extension and what local storage adds it is a file name, of at most 255 bytes.
const MOST_SEGMENT_BYTES = 180
// It is part of the name in URLs, of which routers take 100 characters by default.
const MOST_NAME_BYTES = 50

/**
 * What is wrong with a prefix of keys, as the end of "must be …"; undefined: nothing. It is a relative path, for S3 and for
 * a directory alike: `tracks/`, `a/b-`, or nothing.
 */
export function keyPrefixFault (prefix: string): string | undefined {
  // The last piece is what stands before the id in a file's own name; it is empty when the prefix ends in a slash.
  const segments = prefix.split('/')
  const last = segments.at(-1)!
  const folders = last === '' ? segments.slice(0, -1) : segments
  const found = prefix.startsWith('/')
    ? 'a leading /'
    : folders.some(segment => segment.startsWith('.'))
      ? 'a segment that begins with a dot'
      : folders.includes('')
        ? 'an empty segment (//)'
        : prefix.endsWith('.')
          ? 'a dot at its end'
          : prefix.includes('\\')
            ? 'a backslash'
            : /\p{Cc}/u.test(prefix)
              ? 'a control character'
              : undefined
  if (found !== undefined) return `a relative prefix such as tracks/, without ${found}`
  if (Buffer.byteLength(prefix) > MOST_PREFIX_BYTES) return `at most ${MOST_PREFIX_BYTES} UTF-8 bytes long, not ${Buffer.byteLength(prefix)}`
  if (folders.some(segment => Buffer.byteLength(segment) > MOST_SEGMENT_BYTES)) return `made of segments of at most ${MOST_SEGMENT_BYTES} UTF-8 bytes`
  if (Buffer.byteLength(last) > MOST_NAME_BYTES) return `followed by a / if its last segment is longer than ${MOST_NAME_BYTES} UTF-8 bytes`
  return undefined
}
