import { randomBytes } from 'node:crypto'

/** UUID version 7 (RFC 9562 §5.7): ordered by time, so that keys list in the order of their uploads. */
export function uuidv7 (now = Date.now()): string {
  const bytes = randomBytes(16)
  bytes.writeUIntBE(now, 0, 6)
  bytes[6] = (bytes[6]! & 0x0f) | 0x70
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/**
 * The base name of what a client calls its file: no folders of any system, no control characters, Unicode kept, at most
 * 255 characters; `file` where nothing is left.
 */
export function baseName (clientName: string | undefined): string {
  const last = (clientName ?? '').split(/[/\\]/).at(-1)!
  // eslint-disable-next-line no-control-regex -- control characters are what is taken out
  const clean = last.toWellFormed().replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '').trim()
  return clean === '' || clean === '.' || clean === '..' ? 'file' : [...clean].slice(0, 255).join('')
}

/** The key of a new file: prefix, id, and the client's extension where it is harmless. Nothing else of its name is in it. */
export function newKey (prefix: string, id: string, filename: string): string {
  const extension = /\.([a-z0-9]{1,8})$/.exec(filename.toLowerCase())?.[1]
  return extension === undefined ? `${prefix}${id}` : `${prefix}${id}.${extension}`
}
