import type { FastifyRequest } from 'fastify'
import type { Multipart, MultipartFile } from '@fastify/multipart'
import type { OpenedFile } from '../services/uploads.ts'
import { ClientGoneError, UploadError } from '../services/upload-errors.ts'

const MAX_FIELDS = 32
const MAX_NAME_BYTES = 64
const MAX_VALUE_BYTES = 1_024
const MAX_VALUES_BYTES = 8_192
// One file; but browsers send a part for each file input in which nothing was chosen, too.
const MAX_FILE_PARTS = 9

/**
 * Reads a form up to its file. The limits are given with each call, since the parser may be a host's, with its own.
 *
 * @throws {UploadError} for what is no form, or one without a file
 */
export async function openMultipartFile (request: FastifyRequest): Promise<OpenedFile> {
  if (!request.isMultipart()) {
    throw new UploadError('unsupported_media_type', `The content type is ${request.headers['content-type'] ?? 'missing'}, not multipart/form-data.`)
  }
  if (request.body != null) {
    throw new UploadError('internal_error', 'The app\'s own @fastify/multipart has read the form before this route could: ' +
      'register it without attachFieldsToBody, or in another scope than the upload routes.')
  }
  const options = {
    throwFileSizeLimit: false, // missing in the type of `parts`
    // Merged with the request's, and logged at trace level.
    headers: Object.fromEntries(Object.keys(request.headers).filter(name => name !== 'content-type').map(name => [name, '***'])),
    limits: {
      // Sizes are checked here and by the intake, exactly; these keep the parser from gathering more than that.
      fileSize: Number.MAX_SAFE_INTEGER,
      fieldNameSize: MAX_NAME_BYTES + 1,
      fieldSize: MAX_VALUE_BYTES + 1,
      fields: MAX_FIELDS + 1,
      files: MAX_FILE_PARTS,
      parts: MAX_FIELDS + MAX_FILE_PARTS + 1,
      headerPairs: 32,
    },
  }
  const parts = request.parts(options)
  const fields = new Fields()
  const explain = (error: unknown): Error => explainFailure(error, request)

  const file = await nextFile(parts, fields, explain)
  if (file === undefined) {
    throw new UploadError('missing_file', 'The form ended without a file part.')
  }
  return {
    stream: file.file,
    filename: file.filename,
    contentType: file.mimetype,
    expectedBytes: contentLength(request),
    explain,
    async complete () {
      if (await nextFile(parts, fields, explain) !== undefined) {
        throw new UploadError('too_many_files', 'The form has a second file part.')
      }
      return fields.toObject()
    },
  }
}

async function nextFile (parts: AsyncIterableIterator<Multipart>, fields: Fields, explain: (error: unknown) => Error): Promise<MultipartFile | undefined> {
  try {
    for (;;) {
      const { done, value: part } = await parts.next()
      if (done === true) return undefined
      if (part.type === 'field') fields.add(part)
      else if (!await isEmptyFileInput(part)) return part
    }
  } catch (error) {
    throw explain(error)
  }
}

/** What browsers send for a file input in which nothing was chosen: no name and no bytes. */
async function isEmptyFileInput ({ filename, file }: MultipartFile): Promise<boolean> {
  if (filename !== '' && filename !== undefined) return false
  if (file.readableLength > 0) return false
  const first = await new Promise<unknown>(resolve => {
    file.once('readable', () => resolve(file.read()))
    file.once('end', () => resolve(null))
    file.once('error', () => resolve(undefined))
    file.once('close', () => resolve(undefined))
  })
  if (first !== null && first !== undefined) file.unshift(first)
  file.removeAllListeners('readable')
  return first === null
}

/** The text fields of a form, within the limits. */
class Fields {
  readonly #values = new Map<string, string>()
  #bytes = 0

  add (part: { fieldname: string, mimetype: string, value: unknown, fieldnameTruncated: boolean, valueTruncated: boolean }): void {
    const { fieldname: name } = part
    // The parser has parsed what is declared as JSON.
    const value = part.mimetype === 'application/json' ? JSON.stringify(part.value) : String(part.value)
    const bytes = Buffer.byteLength(value)
    this.#bytes += bytes
    if (this.#values.size >= MAX_FIELDS) throw invalid(`The form has more than ${MAX_FIELDS} text fields.`)
    if (part.fieldnameTruncated || Buffer.byteLength(name) > MAX_NAME_BYTES) throw invalid(`A text field's name has more than ${MAX_NAME_BYTES} bytes.`)
    if (part.valueTruncated || bytes > MAX_VALUE_BYTES) throw invalid(`The text field "${name}" has more than ${MAX_VALUE_BYTES} bytes.`)
    if (this.#bytes > MAX_VALUES_BYTES) throw invalid(`The text fields have more than ${MAX_VALUES_BYTES} bytes together.`)
    if (this.#values.has(name)) throw invalid(`The text field "${name}" came twice.`)
    this.#values.set(name, value)
  }

  toObject (): Record<string, string> {
    return Object.fromEntries(this.#values)
  }
}

function invalid (detail: string): UploadError {
  return new UploadError('invalid_request', detail, {
    hints: [`Send at most ${MAX_FIELDS} text fields, each name once, with names up to ${MAX_NAME_BYTES} bytes, values up to ${MAX_VALUE_BYTES} bytes and ${MAX_VALUES_BYTES} bytes together.`],
  })
}

/** What a failure while the body was read means. */
export function explainFailure (error: unknown, request: FastifyRequest): Error {
  if (error instanceof UploadError) return error
  if (!request.raw.complete && request.raw.destroyed) return new ClientGoneError('The client went away.', { cause: error })
  const { code } = error as { code?: unknown }
  if (code === 'FST_FILES_LIMIT') return new UploadError('too_many_files', 'The form has more than one file part.')
  if (code === 'FST_FIELDS_LIMIT' || code === 'FST_PARTS_LIMIT') return invalid('The form has too many parts.')
  if (code === 'FST_PROTO_VIOLATION' || code === 'FST_INVALID_JSON_FIELD_ERROR') return invalid(`A field is not valid: ${(error as Error).message}.`)
  return new UploadError('malformed_upload', 'The body ended early or is not well-formed.', { cause: error })
}

/** The request's Content-Length, where it has one. */
export function contentLength (request: FastifyRequest): number | undefined {
  const header = request.headers['content-length']
  return header === undefined ? undefined : Number(header)
}
