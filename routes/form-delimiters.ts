import { MIMEType } from 'node:util'

const DASH = 0x2d

/**
 * The boundary that a content type gives; undefined where it has none that can be used. Quotes, backslashes and what is not
 * printable US-ASCII are in no boundary (RFC 2046 §5.1.1), and parsers differ about them. Its 70 characters are not insisted on.
 */
export function boundaryOf (contentType: string): string | undefined {
  try {
    const boundary = new MIMEType(contentType).params.get('boundary') ?? ''
    return /^[\x20-\x7e]{1,200}$/.test(boundary) && !/["\\]/.test(boundary) ? boundary : undefined
  } catch {
    return undefined
  }
}

/**
 * Counts the parts of a form as its bytes pass. The form parser drops parts whose head it can't read, and says nothing: so it
 * can be seen that it did.
 */
export class FormDelimiters {
  readonly #delimiter: Buffer
  /** Of the next chunk, so that a delimiter and the two bytes behind it are whole wherever chunks end. */
  readonly #reach: number
  #carry = Buffer.from('\r\n') // a form may begin with its first delimiter
  #isOver = false
  /** Parts that have begun. */
  parts = 0
  /** Whether a delimiter was not a line of its own: the file may have the boundary in it. */
  isAmbiguous = false

  constructor (boundary: string) {
    this.#delimiter = Buffer.from(`\r\n--${boundary}`)
    this.#reach = this.#delimiter.byteLength + 1
  }

  push (chunk: Buffer): void {
    if (this.#isOver) return
    const before = this.#carry.byteLength
    const joined = Buffer.concat([this.#carry, chunk.subarray(0, this.#reach)])
    let done = this.#scan(joined, 0)
    if (chunk.byteLength <= this.#reach) {
      this.#carry = joined.subarray(Math.max(done, joined.byteLength - this.#reach))
      return
    }
    done = this.#scan(chunk, Math.max(0, done - before))
    this.#carry = Buffer.from(chunk.subarray(Math.max(done, chunk.byteLength - this.#reach)))
  }

  /** Returns where to go on. */
  #scan (bytes: Buffer, from: number): number {
    while (!this.#isOver) {
      const at = bytes.indexOf(this.#delimiter, from)
      const end = at + this.#delimiter.byteLength
      if (at === -1 || end + 2 > bytes.byteLength) break
      const [first, second] = [bytes[end]!, bytes[end + 1]!]
      if (first === DASH && second === DASH) this.#isOver = true
      else {
        this.parts++
        if (first !== 0x0d || second !== 0x0a) this.isAmbiguous = true
      }
      from = end
    }
    return from
  }
}
