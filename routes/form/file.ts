import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import type { FastifyRequest } from 'fastify'
import type { MultipartFile } from '@fastify/multipart'
import type { OpenedFile } from '../../services/uploads.ts'
import { ClientGoneError, UploadError } from '../../services/upload-errors.ts'
import { Fields, invalid, MAX_FIELDS } from './fields.ts'
import { boundaryOf, FormScanner } from './scanner.ts'
import { parserErrorOf } from '../http/parser-error.ts'
import { unreadableHead } from './part-head.ts'
import type { PartHead } from './part-head.ts'

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
 * Reads a form up to its file. The parser is only asked to cut the form into parts: what their heads say is read as the bytes pass, and
 * what the parser makes of them is not looked at. Its limits are given with each call, since it may be a host's, with its own.
 *
 * @param request one that {@link assertForm} has let pass
 * @param largest most bytes of the whole form, whatever they are
 * @throws {UploadError} for a form without a file
 */
export async function openMultipartFile (request: FastifyRequest, largest: number): Promise<OpenedFile> {
  const boundary = boundaryOf(request.headers['content-type']!)!
  const form = watchForm(request.raw, boundary, largest)
  let known = 0
  let read = 0
  const options = {
    throwFileSizeLimit: false, // missing in the type of `parts`
    // Merged with the request's, and logged at trace level. The boundary is the one that is looked for here, too.
    headers: {
      ...Object.fromEntries(Object.keys(request.headers).map(name => [name, '***'])),
      'content-type': `multipart/form-data; boundary="${boundary}"`,
    },
    preservePath: true,
    /** Called for each part that the parser does not drop. A text field comes as a file, too, so that it comes as bytes. */
    isPartAFile () {
      known++
      return true
    },
    limits: {
      fileSize: Number.MAX_SAFE_INTEGER, // checked by the intake
      files: MAX_FILE_PARTS + MAX_FIELDS + 1,
      parts: MAX_FILE_PARTS + MAX_FIELDS + 1,
      headerPairs: Number.MAX_SAFE_INTEGER, // heads are bounded by their size
    },
  }
  const parts = request.parts(options) as AsyncIterableIterator<MultipartFile>
  const fields = new Fields()
  const explain = (error: unknown): Error => explainFailure(error, request)

  /** Reads text fields up to the next file. */
  const nextFile = async (): Promise<{ head: PartHead, part: MultipartFile } | undefined> => {
    for (;;) {
      const { done, value: part } = await parts.next()
      if (done === true) return undefined
      const head = form.heads[read++]
      if (head === undefined) throw unreadableHead()
      if (!head.isFile) await fields.read(head, part.file)
      else if (!await isEmptyFileInput(head, part.file)) return { head, part }
    }
  }
  const next = async (): ReturnType<typeof nextFile> => {
    try {
      const file = await Promise.race([nextFile(), form.failure])
      if (file === undefined && form.heads.length > known) throw unreadableHead()
      return file
    } catch (error) {
      throw explain(error)
    }
  }

  const file = await next()
  if (file === undefined) {
    throw new UploadError('missing_file', 'The form ended without a file part.')
  }
  const { head: { filename, contentType }, part: { file: stream } } = file
  form.failure.catch((error: Error) => { stream.destroy(error) })
  return {
    stream,
    filename: fields.decodeName(filename ?? ''),
    contentType,
    expectedBytes: contentLength(request),
    explain,
    async complete () {
      if (await next() !== undefined) {
        throw new UploadError('too_many_files', 'The form has a second file part.')
      }
      request.raw.resume() // what follows the end of the form
      await Promise.race([finished(request.raw, { writable: false }), form.failure]).catch((error: unknown) => { throw explain(error) })
      return fields.toObject()
    },
  }
}

interface WatchedForm {
  /** Of the parts that have begun. */
  readonly heads: readonly PartHead[]
  /** Rejects when the form is found to be too large, or to have a part that can't be read. */
  readonly failure: Promise<never>
}

/** Looks at a form's bytes before the parser has them. */
function watchForm (body: IncomingMessage, boundary: string, largest: number): WatchedForm {
  const scanner = new FormScanner(boundary)
  let left = largest
  const failure = new Promise<never>((_resolve, reject) => {
    const look = (chunk: Buffer): void => {
      try {
        left -= chunk.byteLength
        if (left < 0) throw new UploadError('file_too_large', `The form has more than ${largest} bytes, which is more than is accepted.`)
        scanner.push(chunk)
      } catch (error) {
        body.off('data', look)
        reject(error instanceof Error ? error : new Error('The form could not be read.', { cause: error }))
      }
    }
    body.on('data', look)
  })
  failure.catch(() => {})
  return { heads: scanner.heads, failure }
}

/** What browsers send for a file input in which nothing was chosen: no name and no bytes. */
async function isEmptyFileInput ({ filename }: PartHead, file: Readable): Promise<boolean> {
  if (filename !== undefined && filename.length > 0) return false
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
