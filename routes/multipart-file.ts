import type { FastifyRequest } from 'fastify'
import type { Multipart, MultipartFile } from '@fastify/multipart'
import type { OpenedFile } from '../services/uploads.ts'
import { ClientGoneError, UploadError } from '../services/upload-errors.ts'
import { boundaryOf, FormDelimiters } from './form-delimiters.ts'
import { Fields, invalid, isJsonField, MAX_FIELDS, MAX_NAME_BYTES, MAX_VALUE_BYTES, unescaped } from './form-fields.ts'
import { parserErrorOf } from './parser-error.ts'

// One file; but browsers send a part for each file input in which nothing was chosen, too.
const MAX_FILE_PARTS = 9

/** @throws {UploadError} for what is no form, or was read already */
export function assertForm (request: FastifyRequest): void {
  if (!request.isMultipart()) {
    throw new UploadError('unsupported_media_type', `The content type is ${request.headers['content-type'] ?? 'missing'}, not multipart/form-data.`)
  }
  if (request.body != null) {
    throw new UploadError('internal_error', 'The app\'s own @fastify/multipart has read the form before this route could: ' +
      'register it without attachFieldsToBody, or in another scope than the upload routes.')
  }
  if (boundaryOf(request.headers['content-type']!) === undefined) throw malformed('The content type has no boundary that can be used.')
}

/**
 * Reads a form up to its file. The limits are given with each call, since the parser may be a host's, with its own.
 *
 * @param request one that {@link assertForm} has let pass
 * @throws {UploadError} for a form without a file
 */
export async function openMultipartFile (request: FastifyRequest): Promise<OpenedFile> {
  const boundary = boundaryOf(request.headers['content-type']!)!
  const delimiters = new FormDelimiters(boundary)
  let understood = 0
  const options = {
    throwFileSizeLimit: false, // missing in the type of `parts`
    // Merged with the request's, and logged at trace level. The boundary is the one that is looked for here, too.
    headers: {
      ...Object.fromEntries(Object.keys(request.headers).map(name => [name, '***'])),
      'content-type': `multipart/form-data; boundary="${boundary}"`,
    },
    preservePath: true,
    /** Called for each part whose head could be read. */
    isPartAFile (_name: string | undefined, type: string | undefined, filename: string | undefined) {
      understood++
      return filename !== undefined || type === 'application/octet-stream' || isJsonField(type, filename)
    },
    limits: {
      // Sizes are checked here and by the intake, exactly; these keep the parser from gathering more than that.
      fileSize: Number.MAX_SAFE_INTEGER,
      fieldNameSize: MAX_NAME_BYTES + 1,
      fieldSize: MAX_VALUE_BYTES + 1,
      fields: MAX_FIELDS + 1,
      files: MAX_FILE_PARTS + MAX_FIELDS + 1,
      parts: MAX_FIELDS + MAX_FILE_PARTS + 1,
      headerPairs: 32,
    },
  }
  const parts = request.parts(options)
  const fields = new Fields()
  const explain = (error: unknown): Error => explainFailure(error, request)
  const next = async (): Promise<MultipartFile | undefined> => {
    const file = await nextFile(parts, fields, explain)
    if (file === undefined && (delimiters.isAmbiguous || delimiters.parts > understood)) {
      throw malformed('A part of the form has no head that can be read, with a Content-Disposition of form-data.')
    }
    return file
  }

  request.raw.on('data', (chunk: Buffer) => { delimiters.push(chunk) }) // before the parser has them
  const file = await next()
  if (file === undefined) {
    throw new UploadError('missing_file', 'The form ended without a file part.')
  }
  return {
    stream: file.file,
    filename: unescaped(file.filename ?? ''),
    contentType: file.mimetype,
    expectedBytes: contentLength(request),
    explain,
    async complete () {
      if (await next() !== undefined) {
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
      else if (isJsonField(part.mimetype, part.filename)) await fields.addJson(part)
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

function malformed (detail: string): UploadError {
  return new UploadError('malformed_upload', detail)
}

/** What a failure while the body was read means. */
export function explainFailure (error: unknown, request: FastifyRequest): Error {
  if (error instanceof UploadError) return error
  const unreadable = parserErrorOf(request.raw)
  if (unreadable !== undefined) return unreadable
  if (!request.raw.complete && request.raw.destroyed) return new ClientGoneError('The client went away.', { cause: error })
  const { code } = error as { code?: unknown }
  if (code === 'FST_FILES_LIMIT') return new UploadError('too_many_files', 'The form has more than one file part.')
  if (code === 'FST_FIELDS_LIMIT' || code === 'FST_PARTS_LIMIT') return invalid('The form has too many parts.')
  if (code === 'FST_PROTO_VIOLATION') return invalid(`A field is not valid: ${(error as Error).message}.`)
  return new UploadError('malformed_upload', 'The body ended early or is not well-formed.', { cause: error })
}

/** The request's Content-Length, where it has one. */
export function contentLength (request: FastifyRequest): number | undefined {
  const header = request.headers['content-length']
  return header === undefined ? undefined : Number(header)
}
