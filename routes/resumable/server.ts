import { Server } from '@tus/server'
import type { Locker } from '@tus/server'
import type { FastifyRequest } from 'fastify'
import type { Resumables } from '../../services/resumable/resumables.ts'
import { UploadError } from '../../services/upload-errors.ts'
import { readMetadata } from './metadata.ts'
import type { Piece } from './piece.ts'
import { headerOf } from './protocol.ts'
import type { TusMethod } from './protocol.ts'
import { refusalOf } from './refusal.ts'
import type { RequestStore } from './store.ts'

/** Of a request, all that the server needs. Those of proxies would only be a reason for it to refuse one. */
const HEADERS = ['tus-resumable', 'upload-offset', 'upload-length', 'upload-defer-length', 'upload-metadata', 'upload-concat']
const PATH = '/resumable'

export interface Exchange {
  readonly method: TusMethod
  readonly request: FastifyRequest
  /** Of an upload that there is already. */
  readonly name?: string | undefined
  readonly piece: Piece
  readonly store: RequestStore
}

/**
 * Has the tus server work on a request.
 * @throws what the store throws; {@link UploadError} for what the server refuses
 */
export async function serve (resumables: Resumables, { method, request, name, piece, store }: Exchange): Promise<Response> {
  let thrown: unknown
  const server = new Server({
    path: PATH,
    datastore: store,
    locker: lockerOf(resumables),
    maxSize: resumables.maxBytes,
    relativeLocation: true,
    namingFunction: () => store.name(readMetadata(headerOf(request, 'upload-metadata') || undefined)),
    getFileIdFromRequest: () => name,
    onResponseError (_request, error) {
      thrown = error
      return undefined
    },
  })
  const target = `http://localhost${PATH}${name === undefined ? '' : `/${encodeURIComponent(name)}`}`
  const response = await server.handleWeb(new Request(target, { method, headers: headersFor(method, request, piece) }))
  if (thrown instanceof Error) throw thrown
  if (response.status < 400) return response
  throw refusalOf(response.status, await response.text(), {
    method,
    offset: store.status?.offset,
    hasLength: store.status?.length !== undefined || headerOf(request, 'upload-length') !== undefined,
    maxBytes: resumables.maxBytes,
  })
}

function headersFor (method: TusMethod, request: FastifyRequest, piece: Piece): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const header of HEADERS) {
    const value = headerOf(request, header)
    if (value !== undefined && !(header === 'upload-metadata' && value === '')) headers[header] = value
  }
  if (!piece.isDeclared || method === 'HEAD' || method === 'DELETE') return headers
  headers['content-type'] = headerOf(request, 'content-type')!
  if (piece.length !== undefined) headers['content-length'] = String(piece.length)
  return headers
}

/** Its own polls, and asks requests to end that only the service knows to be alive. */
function lockerOf (resumables: Resumables): Locker {
  return {
    newLock (name) {
      let release: (() => void) | undefined
      return {
        async lock () {
          release = await resumables.hold(name).catch((error: unknown) => { throw locked(error) })
        },
        async unlock () { release?.() },
      }
    },
  }
}

/** tus has a status of its own for it. */
function locked (error: unknown): unknown {
  if (!(error instanceof UploadError) || error.error_code !== 'upload_in_progress') return error
  return new UploadError('upload_in_progress', error.message, { statusCode: 423, cause: error })
}
