import type { FastifyReply, FastifyRequest } from 'fastify'
import { UploadError } from '../../services/upload-errors.ts'
import { assertPlain } from '../body/upload-checks.ts'
import { headerOf, PIECE, TUS_VERSION } from './protocol.ts'
import type { TusMethod } from './protocol.ts'

/**
 * Refuses what tus has other statuses for than the server that speaks it here.
 * @throws {UploadError}
 */
export function assertHead (method: TusMethod, request: FastifyRequest, reply: FastifyReply): void {
  const version = headerOf(request, 'tus-resumable')
  if (version !== TUS_VERSION) {
    throw new UploadError('precondition_failed', version === undefined ? 'The request has no Tus-Resumable header.' : `Tus-Resumable is ${version}, and ${TUS_VERSION} is spoken here.`, {
      hints: [`Send Tus-Resumable: ${TUS_VERSION}, or use a client for tus 1.`],
    })
  }
  if (method === 'PATCH') assertPiece(request)
  if (method === 'PATCH' || method === 'POST') assertPlain(request, reply)
}

function assertPiece (request: FastifyRequest): void {
  const type = headerOf(request, 'content-type')
  if (type !== PIECE) {
    throw new UploadError('unsupported_media_type', type === undefined ? 'The request has no content type.' : `The content type is ${type}, not ${PIECE}.`, {
      hints: [`Send the piece as it is, with Content-Type: ${PIECE}. What the file itself is belongs into Upload-Metadata, as filetype.`],
    })
  }
  if (headerOf(request, 'upload-offset') === undefined) {
    throw new UploadError('invalid_request', 'The request has no Upload-Offset header.', {
      hints: ['Ask for the offset with HEAD, and send it as Upload-Offset with the bytes from there on.'],
    })
  }
}
