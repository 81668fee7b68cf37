import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Downloads } from '../../services/downloads/downloads.ts'
import type { DownloadResult } from '../../services/observer.ts'
import type { Receipt } from '../../services/receipt.ts'
import { ClientGoneError, UploadError } from '../../services/upload-errors.ts'
import { nameOf, troubleOf } from '../http/file-routes.ts'
import type { ReaderWatch } from './reader-watch.ts'

/** One content request, from its beginning to its one line in the log. */
export interface Download {
  /** The file was found. */
  found (receipt: Receipt): void
  /** It can't be answered as asked, or not to its end. */
  failed (error: unknown): void
  /** The bytes are on their way: the reader has to take them. */
  sending (): void
}

/** @throws {UploadError} `overloaded` */
export function beginDownload (request: FastifyRequest, reply: FastifyReply, downloads: Downloads, watch: ReaderWatch): Download {
  const place = downloads.begin()
  const { raw } = reply
  let receipt: Receipt | undefined
  let failure: unknown
  let hasStalled = false
  let hasEnded = false
  let stopWatch = (): void => {}

  function end (isWhole: boolean): void {
    if (hasEnded) return
    hasEnded = true
    stopWatch()
    place.end()
    const isRefused = failure instanceof UploadError && failure.isClientFault
    const result = hasStalled ? 'stalled' : failure !== undefined && !(failure instanceof ClientGoneError) ? 'failed' : isWhole ? 'served' : 'aborted'
    if (!isRefused) downloads.ended(receipt?.storage ?? 'none', result)
    log(isRefused ? 'refused' : result)
  }

  function log (result: DownloadResult | 'refused'): void {
    const fields = {
      event: 'file.read',
      name: nameOf(request),
      method: request.method,
      status: raw.statusCode,
      result,
      duration_ms: Math.round(reply.elapsedTime),
      ...(receipt === undefined ? {} : { storage: receipt.storage, size_bytes: receipt.track.size_bytes }),
    }
    if (result === 'failed') request.log.warn({ ...fields, ...troubleOf(failure) }, 'a file could not be read, or not to its end')
    else if (result === 'stalled') request.log.warn(fields, 'a reader took nothing for too long')
    else request.log.debug(result === 'refused' ? { ...fields, error_code: (failure as UploadError).error_code } : fields, WORDS[result])
  }

  if (raw.destroyed) {
    end(false)
  } else {
    raw.once('finish', () => end(isWhole(raw)))
    raw.once('close', () => end(false))
  }

  return {
    found (found) { receipt = found },
    failed (error) { failure ??= error },
    sending () {
      if (hasEnded) return
      stopWatch = watch.watch(raw, () => {
        hasStalled = true
        cut(reply)
      })
    },
  }
}

const WORDS = { served: 'a file was read', aborted: 'the reader went away', refused: 'a file was not read' }

/** HTTP/2 also calls it finished if the client gave the stream up. */
function isWhole (raw: ServerResponse): boolean {
  const { stream } = raw as unknown as Partial<Http2ServerResponse>
  return stream === undefined || (stream.writableFinished && stream.rstCode === 0)
}

const INTERNAL_ERROR = 2 // RFC 9113 §7

/** Breaks an answer off. It must not look whole, nor like an error with the headers of a file. */
export function cut ({ raw }: FastifyReply): void {
  const { stream } = raw as unknown as Partial<Http2ServerResponse>
  if (stream === undefined) raw.destroy()
  else stream.close(INTERNAL_ERROR)
}
