import type { MultipartFile } from '@fastify/multipart'
import { UploadError } from '../services/upload-errors.ts'

export const MAX_FIELDS = 32
export const MAX_NAME_BYTES = 64
export const MAX_VALUE_BYTES = 1_024
const MAX_VALUES_BYTES = 8_192
const JSON_TYPE = 'application/json'

/** The text fields of a form, within the limits. */
export class Fields {
  readonly #values = new Map<string, string>()
  #bytes = 0

  /** @throws {UploadError} `invalid_request` for one beyond the limits, and for a second one of its name */
  add (part: { fieldname: string | undefined, value: unknown, fieldnameTruncated: boolean, valueTruncated: boolean }): void {
    if (part.fieldname === undefined) throw invalid('A text field has no name.')
    const name = unescaped(part.fieldname)
    const value = String(part.value)
    const bytes = Buffer.byteLength(value)
    this.#bytes += bytes
    if (this.#values.size >= MAX_FIELDS) throw invalid(`The form has more than ${MAX_FIELDS} text fields.`)
    if (part.fieldnameTruncated || Buffer.byteLength(name) > MAX_NAME_BYTES) throw invalid(`A text field's name has more than ${MAX_NAME_BYTES} bytes.`)
    if (part.valueTruncated || bytes > MAX_VALUE_BYTES) throw tooLong(name)
    if (this.#bytes > MAX_VALUES_BYTES) throw invalid(`The text fields have more than ${MAX_VALUES_BYTES} bytes together.`)
    if (this.#values.has(name)) throw invalid(`The text field "${name}" came twice.`)
    this.#values.set(name, value)
  }

  /** A field that is declared as JSON comes as a file, see {@link isJsonField}. */
  async addJson ({ fieldname, mimetype, file }: MultipartFile): Promise<void> {
    let bytes = Buffer.alloc(0)
    for await (const chunk of file as AsyncIterable<Buffer>) {
      bytes = Buffer.concat([bytes, chunk])
      if (bytes.byteLength > MAX_VALUE_BYTES) throw tooLong(fieldname)
    }
    const value = bytes.toString()
    if (mimetype === JSON_TYPE && !isJson(value)) throw invalid(`The text field "${fieldname}" is not the JSON that its content type promises.`)
    this.add({ fieldname, value, fieldnameTruncated: false, valueTruncated: false })
  }

  toObject (): Record<string, string> {
    return Object.fromEntries(this.#values)
  }
}

/** Whether a part is a text field that is declared as JSON. The form parser would parse it, and it would not be kept as it was sent. */
export function isJsonField (type: string | undefined, filename: string | undefined): boolean {
  return filename === undefined && type?.startsWith(JSON_TYPE) === true
}

function isJson (text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** The characters that browsers escape in names (https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data). */
export function unescaped (name: string): string {
  return name.replaceAll(/%(?:22|0d|0a)/gi, decodeURIComponent)
}

function tooLong (name: string): UploadError {
  return invalid(`The text field "${name}" has more than ${MAX_VALUE_BYTES} bytes.`)
}

/** What is wrong with the text fields. */
export function invalid (detail: string): UploadError {
  return new UploadError('invalid_request', detail, {
    hints: [`Send at most ${MAX_FIELDS} text fields, each name once, with names up to ${MAX_NAME_BYTES} bytes, values up to ${MAX_VALUE_BYTES} bytes and ${MAX_VALUES_BYTES} bytes together.`],
  })
}
