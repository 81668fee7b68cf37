import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import type { FastifyRequest } from 'fastify'
import type { MultipartFile } from '@fastify/multipart'
import type { Source } from '../../services/intake/source.ts'
import { UploadError } from '../../services/upload-errors.ts'
import { Fields, invalid, MAX_FIELDS } from './fields.ts'
import { boundaryOf, FormScanner } from './scanner.ts'
import { sendContinue } from '../body/expect-continue.ts'
import { contentLength, explainFailure, receivedBytes } from '../body/request-body.ts'
import { unreadableHead } from './part-head.ts'
import type { PartHead } from './part-head.ts'

// One file; but browsers also send a part for each file input in which nothing was chosen.
const MAX_FILE_PARTS = 9

/** @throws {UploadError} if the request is not a form, or was read already */
export function assertForm (request: FastifyRequest): void {
  if (!request.isMultipart()) {
    throw new UploadError('unsupported_media_type', `The content type is ${request.headers['content-type'] ?? 'missing'}, not multipart/form-data.`)
  }
  if (request.body != null) {
    throw new UploadError('internal_error', 'The app\'s own @fastify/multipart has read the form before this route could: ' +
      'register it without attachFieldsToBody, or in another scope than the upload routes.')
  }
  if (boundaryOf(request.headers['content-type']!) === undefined) {
    throw new UploadError('malformed_upload', 'The content type has no boundary that can be used.')
  }
}

/**
 * A form as the source of its file. The parser is only asked to cut the form into parts: what their heads say is read as the bytes pass,
 * and what the parser makes of them is not looked at. Its limits are given with each call, since it may be a host's, with its own.
 */
export class FormSource implements Source {
  stream!: Readable
  filename: string | undefined
  contentType: string | undefined
  readonly expectedBytes: number | undefined
  readonly received: (() => number) | undefined
  readonly #request: FastifyRequest
  readonly #largest: number
  readonly #check: () => void
  readonly #fields = new Fields()
  #form!: WatchedForm
  #parts!: AsyncIterableIterator<MultipartFile>
  /** Parts that the parser did not drop. */
  #known = 0
  #read = 0

  /**
   * @param largest most bytes of the whole form, whatever they are
   * @param check throws if the request's head shows that it is not a form or will not be stored; called only if the service accepts uploads at all
   */
  constructor (request: FastifyRequest, largest: number, check: () => void) {
    this.#request = request
    this.#largest = largest
    this.#check = check
    this.expectedBytes = contentLength(request)
    this.received = receivedBytes(request.raw)
  }

  /** @throws {UploadError} for a form without a file */
  async open (): Promise<void> {
    const request = this.#request
    this.#check()
    sendContinue(request.raw)
    const boundary = boundaryOf(request.headers['content-type']!)!
    this.#form = watchForm(request.raw, boundary, this.#largest)
    const options = {
      throwFileSizeLimit: false, // missing in the type of `parts`
      // Merged with the request's, and logged at trace level. The boundary is the one that is looked for here, too.
      headers: {
        ...Object.fromEntries(Object.keys(request.headers).map(name => [name, '***'])),
        'content-type': `multipart/form-data; boundary="${boundary}"`,
      },
      preservePath: true,
      /** Called for each part that the parser does not drop. A text field comes as a file, too, so that it comes as bytes. */
      isPartAFile: () => {
        this.#known++
        return true
      },
      limits: {
        fileSize: Number.MAX_SAFE_INTEGER, // checked by the intake
        files: MAX_FILE_PARTS + MAX_FIELDS + 1,
        parts: MAX_FILE_PARTS + MAX_FIELDS + 1,
        headerPairs: Number.MAX_SAFE_INTEGER, // heads are bounded by their size
      },
    }
    this.#parts = request.parts(options) as AsyncIterableIterator<MultipartFile>
    const file = await this.#nextFile()
    if (file === undefined) throw new UploadError('missing_file', 'The form ended without a file part.')
    const { head, part } = file
    this.stream = part.file
    this.filename = this.#fields.decodeName(head.filename ?? '')
    this.contentType = head.contentType
    this.#form.failure.catch((error: Error) => { part.file.destroy(error) })
  }

  async complete (): Promise<Record<string, string>> {
    if (await this.#nextFile() !== undefined) throw new UploadError('too_many_files', 'The form has a second file part.')
    const { raw } = this.#request
    raw.resume() // what follows the end of the form
    await this.#explained(finished(raw, { writable: false }))
    return this.#fields.toObject()
  }

  explain (error: unknown): Error {
    return explainFailure(parserLimit(error) ?? error, this.#request)
  }

  /** Reads text fields up to the next file. */
  async #nextFile (): Promise<{ head: PartHead, part: MultipartFile } | undefined> {
    const file = await this.#explained(this.#readFields())
    if (file === undefined && this.#form.heads.length > this.#known) throw unreadableHead()
    return file
  }

  async #readFields (): Promise<{ head: PartHead, part: MultipartFile } | undefined> {
    for (;;) {
      const { done, value: part } = await this.#parts.next()
      if (done === true) return undefined
      const head = this.#form.heads[this.#read++]
      if (head === undefined) throw unreadableHead()
      if (!head.isFile) await this.#fields.read(head, part.file)
      else if (!await isEmptyFileInput(head, part.file)) return { head, part }
    }
  }

  async #explained<T> (promise: Promise<T>): Promise<T> {
    try {
      return await Promise.race([promise, this.#form.failure])
    } catch (error) {
      throw this.explain(error)
    }
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

/** What it means if the parser finds more than it was told to read. */
function parserLimit (error: unknown): UploadError | undefined {
  const { code, message } = Object(error) as { code?: unknown, message?: string }
  if (code === 'FST_FILES_LIMIT') return new UploadError('too_many_files', 'The form has more than one file part.')
  if (code === 'FST_FIELDS_LIMIT' || code === 'FST_PARTS_LIMIT') return invalid('The form has too many parts.')
  return code === 'FST_PROTO_VIOLATION' ? invalid(`A field is not valid: ${message}.`) : undefined
}
