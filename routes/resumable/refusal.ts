import { ERRORS } from '@tus/server'
import { UploadError } from '../../services/upload-errors.ts'
import { tooLarge, tooMuch } from './piece.ts'
import { EXTENSIONS } from './protocol.ts'
import type { TusMethod } from './protocol.ts'

/** What is known of a request that the tus server has refused. */
export interface Refused {
  readonly method: TusMethod
  /** Where its upload stands, if that was asked for. */
  readonly offset: number | undefined
  /** Whether it is known how many bytes there are in all. */
  readonly hasLength: boolean
  readonly maxBytes: number
}

/** An answer of the tus server, which is plain text, as an error of the service. */
export function refusalOf (status: number, text: string, { method, offset, hasLength, maxBytes }: Refused): UploadError {
  const malformed = /^Invalid ([a-z -]+)\n$/.exec(text)?.[1]
  if (malformed !== undefined) return badHeader(`These headers are malformed: ${malformed.replaceAll(' ', ', ')}.`)
  if (text === ERRORS.INVALID_LENGTH.body) {
    return badHeader(method === 'POST'
      ? 'A new upload has either Upload-Length or Upload-Defer-Length: 1.'
      : 'Upload-Length can be told once, and is not less than the offset.')
  }
  if (text === ERRORS.ERR_MAX_SIZE_EXCEEDED.body) return tooLarge(maxBytes)
  switch (status) {
    case 404: return noUpload('There is no upload of this name.')
    case 409: return new UploadError('invalid_request', `Upload-Offset is not where the upload stands${offset === undefined ? '' : `, which is ${offset}`}.`, {
      statusCode: 409,
      hints: ['Ask for the offset with HEAD and continue from there.'],
    })
    case 410: return noUpload('The upload has expired.', 410)
    case 413: return hasLength ? tooMuch() : tooLarge(maxBytes)
    case 501: return new UploadError('invalid_request', 'The request needs an extension of tus that is not offered: concatenation.', {
      statusCode: 501,
      hints: [`There are ${EXTENSIONS.join(', ')}. Turn parallel uploads of one file off in the client.`],
    })
    // What else it refuses has been refused before.
    default: return new UploadError('internal_error', 'The request failed because of an error in the service.', { cause: new Error(`${status}: ${text}`) })
  }
}

function noUpload (detail: string, statusCode = 404): UploadError {
  return new UploadError('not_found', detail, { statusCode, hints: ['Create a new upload and send the file from its beginning.'] })
}

function badHeader (detail: string): UploadError {
  return new UploadError('invalid_request', detail, { hints: ['Send the headers as tus 1.0.0 has them: https://tus.io/protocols/resumable-upload'] })
}
