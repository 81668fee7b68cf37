import type { Readable } from 'node:stream'
import { declaredContentType } from '../../services/intake/content-type.ts'
import { UploadError } from '../../services/upload-errors.ts'
import { decodeText, isEncoding } from './text.ts'
import type { PartHead, PartName } from './part-head.ts'

export const MAX_FIELDS = 32
const MAX_NAME_BYTES = 64
const MAX_VALUE_BYTES = 1_024
const MAX_VALUES_BYTES = 8_192
/** No encoding needs more for a value that is not too long. */
const MAX_RAW_BYTES = 4 * MAX_VALUE_BYTES

/** The text fields of an upload, within the limits. */
export class Fields {
  readonly #values = new Map<string, string>()
  #bytes = 0
  /** Of text that has no label of its own: the field `_charset_` changes it for what comes after (RFC 7578 §4.6). */
  #encoding = 'utf-8'

  /** @throws {UploadError} `invalid_request` for one beyond the limits, for a second one of its name, and for what can't be decoded */
  async read ({ name: rawName, contentType, charset }: PartHead, content: Readable): Promise<void> {
    if (rawName === undefined) throw invalid('A text field has no name.')
    const name = this.decodeName(rawName)
    this.#assertName(name)
    const value = this.#decode(await bytesOf(name, content), charset ?? this.#encoding, `The text field "${name}"`)
    this.#set(name, value)
    if (declaredContentType(contentType) === 'application/json' && !isJson(value)) throw invalid(`The text field "${name}" is not the JSON that its content type promises.`)
    if (name === '_charset_') this.#setEncoding(value)
  }

  /** Takes one that is text already. @throws {UploadError} `invalid_request` as {@link read} */
  add (name: string, value: string): void {
    this.#assertName(name)
    this.#set(name, value)
  }

  /** @throws {UploadError} `invalid_request` */
  decodeName (name: PartName): string {
    return typeof name === 'string' ? name : this.#decode(name, this.#encoding, 'A name in the form')
  }

  toObject (): Record<string, string> {
    return Object.fromEntries(this.#values)
  }

  #assertName (name: string): void {
    if (this.#values.size >= MAX_FIELDS) throw invalid(`There are more than ${MAX_FIELDS} text fields.`)
    if (Buffer.byteLength(name) > MAX_NAME_BYTES) throw invalid(`A text field's name has more than ${MAX_NAME_BYTES} bytes.`)
    if (this.#values.has(name)) throw invalid(`The text field "${name}" came twice.`)
    if (name in Object.prototype) throw invalid(`No text field may be named "${name}".`)
  }

  #set (name: string, value: string): void {
    const bytes = Buffer.byteLength(value)
    this.#bytes += bytes
    if (bytes > MAX_VALUE_BYTES) throw tooLong(name)
    if (this.#bytes > MAX_VALUES_BYTES) throw invalid(`The text fields have more than ${MAX_VALUES_BYTES} bytes together.`)
    this.#values.set(name, value)
  }

  #decode (bytes: Buffer, encoding: string, what: string): string {
    const text = decodeText(bytes, encoding)
    if (text !== undefined) return text
    throw isEncoding(encoding) ? undecodable(`${what} is not in ${encoding}, as it should be.`) : undecodable(`${what} is in an encoding that is not known: ${encoding}.`)
  }

  #setEncoding (label: string): void {
    if (!isEncoding(label)) throw undecodable(`The field _charset_ names an encoding that is not known: ${label}.`)
    this.#encoding = label
  }
}

async function bytesOf (name: string, content: Readable): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of content as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength
    if (bytes > MAX_RAW_BYTES) throw tooLong(name)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function isJson (text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function tooLong (name: string): UploadError {
  return invalid(`The text field "${name}" has more than ${MAX_VALUE_BYTES} bytes.`)
}

function undecodable (detail: string): UploadError {
  return new UploadError('invalid_request', detail, {
    hints: ['Send names and text fields in UTF-8, or give the part a content type with its charset, such as: text/plain; charset=windows-1252.'],
  })
}

/** What is wrong with the text fields. */
export function invalid (detail: string): UploadError {
  return new UploadError('invalid_request', detail, {
    hints: [`Send at most ${MAX_FIELDS} text fields, each name once, with names up to ${MAX_NAME_BYTES} bytes, values up to ${MAX_VALUE_BYTES} bytes and ${MAX_VALUES_BYTES} bytes together.`],
  })
}
