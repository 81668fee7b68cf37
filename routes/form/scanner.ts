import { MIMEType } from 'node:util'
import { UploadError } from '../../services/upload-errors.ts'
import { readHead, unreadableHead } from './part-head.ts'
import type { PartHead } from './part-head.ts'

const DASH = 0x2d
const CR = 0x0d
const LF = 0x0a
const END_OF_HEAD = Buffer.from('\r\n\r\n')
const MAX_HEAD_BYTES = 16_384 // 16 KiB
/** More than the form parser's limits let through. */
const MAX_HEADS = 256

// MIMEType takes quadratic time for white space, and the boundary has no more than 200 characters.
const MOST_CHARACTERS = 1_024

/**
 * The boundary that a content type gives; undefined if it has none that can be used. Quotes, backslashes and what is not
 * printable US-ASCII are in no boundary (RFC 2046 §5.1.1), and parsers differ about them. Its 70 characters are not insisted on.
 */
export function boundaryOf (contentType: string): string | undefined {
  if (contentType.length > MOST_CHARACTERS) return undefined
  try {
    const boundary = new MIMEType(contentType).params.get('boundary') ?? ''
    return /^[\x20-\x7e]{1,200}$/.test(boundary) && !/["\\]/.test(boundary) ? boundary : undefined
  } catch {
    return undefined
  }
}

/**
 * Reads the heads of a form's parts as its bytes pass on their way to the form parser. That only cuts the form into parts: it misreads
 * names, and drops parts whose head it can't read without a word. The contents are neither copied nor changed.
 */
export class FormScanner {
  readonly #delimiter: Buffer
  #state: 'content' | 'head' | 'over' = 'content'
  /** What the next chunk has to complete, a head or a delimiter. A form may begin with its first delimiter. */
  #rest: Buffer = Buffer.from('\r\n')
  /** Of the parts that have begun. */
  readonly heads: PartHead[] = []

  constructor (boundary: string) {
    this.#delimiter = Buffer.from(`\r\n--${boundary}`)
  }

  /** @throws {UploadError} for a part that can't be read; nothing is looked at from then on */
  push (chunk: Buffer): void {
    if (this.#state === 'over') return
    const bytes = this.#rest.byteLength === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at: number | undefined = 0
    let done = 0
    try {
      while (at !== undefined) {
        done = at
        at = this.#state === 'head' ? this.#head(bytes, at) : this.#content(bytes, at)
      }
    } catch (error) {
      this.#state = 'over'
      throw error
    }
    this.#rest = this.#restOf(bytes, done)
  }

  /** Looks for the next delimiter and where to go on behind it; undefined if more has to come for that. */
  #content (bytes: Buffer, from: number): number | undefined {
    const end = bytes.indexOf(this.#delimiter, from) + this.#delimiter.byteLength
    if (end < this.#delimiter.byteLength || end + 2 > bytes.byteLength) return undefined
    if (bytes[end] === DASH && bytes[end + 1] === DASH) {
      this.#state = 'over' // what follows is the epilogue
      return undefined
    }
    if (bytes[end] !== CR || bytes[end + 1] !== LF) {
      throw new UploadError('malformed_upload', 'The boundary of the form is not alone on its line, or the file contains it.')
    }
    this.#state = 'head'
    return end
  }

  /** Reads a head, from the line break before it on. */
  #head (bytes: Buffer, from: number): number | undefined {
    const end = bytes.indexOf(END_OF_HEAD, from)
    // The second line break of its end may belong to a delimiter, as it does for the form parser. Then the head has no end.
    const behind = bytes.subarray(end + 2, end + 2 + this.#delimiter.byteLength)
    const isCut = end !== -1 && behind.equals(this.#delimiter.subarray(0, behind.byteLength))
    if (end === -1 || isCut) {
      if (behind.byteLength === this.#delimiter.byteLength && isCut) throw unreadableHead()
      if (bytes.byteLength - from > MAX_HEAD_BYTES) throw unreadableHead()
    }
    const head = bytes.subarray(from, end === -1 ? bytes.byteLength : end + 2)
    if (head.includes(this.#delimiter) || head.byteLength > MAX_HEAD_BYTES) throw unreadableHead()
    if (end === -1 || isCut) return undefined
    if (this.heads.length < MAX_HEADS) this.heads.push(readHead(head.subarray(2, -2)))
    this.#state = 'content'
    return end + END_OF_HEAD.byteLength
  }

  /** What is left to be completed: a head, or what may be the beginning of a delimiter. */
  #restOf (bytes: Buffer, from: number): Buffer {
    if (this.#state === 'over') return Buffer.alloc(0)
    if (this.#state === 'head') return Buffer.from(bytes.subarray(from))
    const first = Math.max(from, bytes.byteLength - this.#delimiter.byteLength - 1)
    for (let at = bytes.indexOf(CR, first); at !== -1; at = bytes.indexOf(CR, at + 1)) {
      const tail = bytes.subarray(at, at + this.#delimiter.byteLength)
      if (tail.equals(this.#delimiter.subarray(0, tail.byteLength))) return Buffer.from(bytes.subarray(at))
    }
    return Buffer.alloc(0)
  }
}
