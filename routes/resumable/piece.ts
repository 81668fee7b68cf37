import { Readable } from 'node:stream'
import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import type { FastifyRequest } from 'fastify'
import type { Source } from '../../services/intake/source.ts'
import { UploadError } from '../../services/upload-errors.ts'
import { rawSource } from '../body/raw-body.ts'
import type { RawBody } from '../body/raw-body.ts'
import { contentLength } from '../body/request-body.ts'
import { PIECE } from './protocol.ts'

/** The piece of a file that a request brings. */
export interface Piece {
  /** Whether the request says that it has one; of a new upload any other body is ignored. */
  readonly isDeclared: boolean
  /** False if it has no bytes; one whose length is not told may turn out to have none. */
  readonly hasBytes: boolean
  /** Bytes of it; undefined if that is not told. */
  readonly length: number | undefined
  source (file?: Pick<RawBody, 'filename' | 'contentType' | 'fields'>): Source
  /** Waits for its end. @throws {UploadError} if it has a byte */
  assertEmpty (): Promise<void>
}

export function pieceOf (request: FastifyRequest): Piece {
  const isDeclared = request.headers['content-type'] === PIECE
  const length = hasBody(request.raw) ? contentLength(request) : 0
  const hasBytes = isDeclared && length !== 0
  return {
    isDeclared,
    hasBytes,
    length: hasBytes ? length : 0,
    source (file = {}) {
      const source = rawSource(request, file)
      return hasBytes ? source : { ...source, stream: Readable.from([]), expectedBytes: 0 }
    },
    async assertEmpty () {
      if (!hasBytes) return
      const { stream, begin, explain } = rawSource(request, {})
      begin!()
      try {
        for await (const chunk of stream) if (chunk.length > 0) throw tooMuch()
      } catch (error) {
        throw explain!(error)
      }
    },
  }
}

/** What a request is answered that has more bytes than its upload lacks. */
export function tooMuch (): UploadError {
  return new UploadError('file_too_large', 'The request has more bytes than its upload still lacks: Upload-Length says how many there are in all.', {
    hints: ['Ask for the offset with HEAD, then send no more than the bytes from there to Upload-Length.'],
  })
}

export function tooLarge (maxBytes: number): UploadError {
  return new UploadError('file_too_large', `The file has more than ${maxBytes} bytes.`)
}

function hasBody (raw: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': coding } = raw.headers
  if (length !== undefined || coding !== undefined) return length !== '0'
  return raw.httpVersionMajor >= 2 && !(raw as unknown as Http2ServerRequest).stream.endAfterHeaders
}
