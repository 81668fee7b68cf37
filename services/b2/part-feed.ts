/** One part of an upload: the bytes are the feeder's and stay as they are until the part is stored or the upload ended. */
export type PartBytes = Uint8Array

interface NumberedPart {
  readonly partNumber: number
  readonly data: PartBytes
  readonly lastPart?: boolean
}

/**
 * Hands parts from the one who fills them to lib-storage's workers, one by one, with no queue between: `push` resolves
 * when a worker took the part, so that whoever feeds can't run ahead of B2.
 */
export class PartFeed {
  #part: NumberedPart | undefined
  #taken: (() => void) | undefined
  #takers: ((part: IteratorResult<NumberedPart, undefined>) => void)[] = []
  #count = 0
  #closed = false

  /** Offers the next part; resolves once it is taken or the feed is closed. One at a time. */
  push (data: PartBytes, lastPart = false): Promise<void> {
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

  /** Ends the feed: a part that nobody took is dropped, and who waits for one is told that there are no more. */
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
  async * bytes (): AsyncGenerator<PartBytes> {
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
