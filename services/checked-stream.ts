import { Transform } from 'node:stream'
import type { TransformCallback } from 'node:stream'
import { LocalStoreError } from './local-errors.ts'

/** Passes on the bytes of a stream, and ends well only where they are as many as were promised. */
export class CheckedStream extends Transform {
  readonly #explain: (error: Error) => Error
  #left: number

  /** @param explain what an error of the stream is reported as */
  constructor (bytes: number, explain: (error: Error) => Error) {
    super()
    this.#left = bytes
    this.#explain = explain
  }

  override _transform (chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#left -= chunk.byteLength
    if (this.#left < 0) done(damaged())
    else done(null, chunk)
  }

  override _flush (done: TransformCallback): void {
    done(this.#left === 0 ? null : damaged())
  }

  override _destroy (error: Error | null, done: (error?: Error | null) => void): void {
    done(error === null ? null : this.#explain(error))
  }
}

/** Streams of B2 check themselves. */
function damaged (): LocalStoreError {
  return new LocalStoreError('The file in local storage is damaged: it has not as many bytes as its receipt says', { error_code: 'io_error' })
}
