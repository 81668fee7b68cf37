import { IncomingMessage } from 'node:http'

/** A request with this header is read no faster than it says, in bytes per second. */
export const LINE_HEADER = 'x-demo-line'

/**
 * Requests that come as over a slow line, if their client asks for it. From a browser on the same machine a song
 * arrives at once, which leaves no time to break anything in the middle.
 */
export class PacedRequest extends IncomingMessage {
  #begunAt = 0
  #bytes = 0

  get #dueInMs (): number {
    const rate = Number(this.headers[LINE_HEADER])
    if (!(rate > 0)) return 0
    this.#begunAt ||= performance.now()
    return this.#begunAt + this.#bytes / rate * 1_000 - performance.now()
  }

  override push (chunk: Buffer | null, encoding?: BufferEncoding): boolean {
    this.#bytes += chunk?.length ?? 0
    return super.push(chunk, encoding) && this.#dueInMs <= 0 // false stops the socket until `_read`
  }

  override _read (size: number): void {
    const goOn = (): void => { if (!this.destroyed) super._read(size) }
    const dueInMs = this.#dueInMs
    if (dueInMs > 0) setTimeout(goOn, dueInMs)
    else goOn()
  }
}
