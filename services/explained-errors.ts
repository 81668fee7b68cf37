import type { Readable } from 'node:stream'

/** Has a stream fail with what `explain` makes of its errors; a stream that `signal` ended fails, too. Without another stream there is nothing that could hold bytes. */
export function explainErrors (stream: Readable, explain: (error: Error) => Error, signal?: AbortSignal): void {
  const destroy = stream._destroy.bind(stream)
  stream._destroy = (error, done) => destroy(error, failed => {
    if (failed != null) done(explain(failed))
    else done(signal?.aborted === true && !stream.readableEnded ? Object.assign(new Error('The operation was aborted', { cause: signal.reason }), { name: 'AbortError', code: 'ABORT_ERR' }) : null)
  })
}
