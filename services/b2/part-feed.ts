import { Readable } from 'node:stream'
import { Upload } from '@aws-sdk/lib-storage'
import type { Options } from '@aws-sdk/lib-storage'

interface NumberedPart {
  readonly partNumber: number
  readonly data: Uint8Array
  readonly lastPart?: boolean
}

/**
 * Hands parts to lib-storage's workers, one by one, without a queue: `push` resolves when a worker has taken the part, so the
 * reader of the client can't run ahead of B2. The bytes of a part must not change until it is stored or the upload has ended.
 */
export class PartFeed {
  #part: NumberedPart | undefined
  #taken: (() => void) | undefined
  #takers: ((part: IteratorResult<NumberedPart, undefined>) => void)[] = []
  #count = 0
  #closed = false

  /** Offers the next part; resolves when it is taken or the feed is closed. One at a time. */
  push (data: Uint8Array, lastPart = false): Promise<void> {
    if (this.#closed) return Promise.resolve()
    this.#part = { partNumber: ++this.#count, data, ...(lastPart ? { lastPart } : {}) }
    return new Promise(resolve => {
      this.#taken = () => {
        if (lastPart) this.close()
        resolve()
      }
      this.#match()
    })
  }

  /** Ends the feed: a part that no worker took is dropped, and waiting workers learn that there are no more. */
  close (): void {
    if (this.#closed) return
    this.#closed = true
    this.#part = undefined
    const taken = this.#taken
    this.#taken = undefined
    taken?.()
    for (const take of this.#takers.splice(0)) take({ done: true, value: undefined })
  }

  /** The parts as lib-storage's workers take them, numbered; any number of workers may iterate. */
  numbered (): AsyncIterable<NumberedPart> {
    return { [Symbol.asyncIterator]: () => ({ next: () => this.#next() }) }
  }

  /** The parts as plain bytes, for lib-storage's public path. */
  async * bytes (): AsyncGenerator<Uint8Array> {
    for await (const { data } of this.numbered()) yield data
  }

  #next (): Promise<IteratorResult<NumberedPart, undefined>> {
    if (this.#closed) return Promise.resolve({ done: true, value: undefined })
    return new Promise(resolve => {
      this.#takers.push(resolve)
      this.#match()
    })
  }

  #match (): void {
    if (this.#part === undefined) return
    const take = this.#takers.shift()
    if (take === undefined) return
    const value = this.#part
    const taken = this.#taken
    this.#part = undefined
    this.#taken = undefined
    take({ done: false, value })
    taken?.()
  }
}

type Worker = (feeder: AsyncIterable<unknown>) => Promise<void>

/**
 * Whether lib-storage has the worker function that {@link partUpload} feeds. It is not public API: the package's version is
 * pinned, and without the function everything works through the public path, at the cost of a copy of each part.
 */
export function feedsWorkersDirectly (): boolean {
  const worker = (Upload.prototype as unknown as { __doConcurrentUpload?: Worker }).__doConcurrentUpload
  return typeof worker === 'function' && worker.length === 1
}

/**
 * An `Upload` whose parts come from `feed`. lib-storage would copy a stream's bytes into new parts; the feed's parts have the
 * right size already, so the workers get them as they are.
 */
export function partUpload (options: Omit<Options, 'params'> & { params: Omit<Options['params'], 'Body'> }, feed: PartFeed, direct = feedsWorkersDirectly()): Upload {
  const upload = new Upload({ ...options, params: { ...options.params, Body: Readable.from(feed.bytes()) } })
  if (direct) {
    const worker = (upload as unknown as { __doConcurrentUpload: Worker }).__doConcurrentUpload
    Object.assign(upload, { __doConcurrentUpload: () => worker.call(upload, feed.numbered()) })
  }
  return upload
}
