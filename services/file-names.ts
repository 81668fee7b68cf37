import { randomUUID } from 'node:crypto'

/** UUID version 7 (RFC 9562 §5.7): ordered by time, so that keys list in the order of their uploads. */
export function uuidv7 (now = Date.now()): string {
  const time = now.toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}` // a version 4 has its random bits in the same places
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
