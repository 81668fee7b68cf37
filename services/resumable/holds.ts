import { UploadError } from '../upload-errors.ts'

/** A client that has sent nothing for so long, although it could, may have lost its line: the next request takes over. */
const SILENT_MS = 1_000
/** A request is told so soon that another one goes on. */
const PATIENCE_MS = 2_500
/** For storing what came of a request that has ended. */
const LONGEST_WAIT_MS = 10_000
const LOOK_MS = 100

interface Holder {
  readonly over: Promise<void>
  /** Milliseconds since something came; undefined if its client is not waited for. */
  silentMs?: () => number | undefined
  /** Ends its request. */
  end?: () => void
}

/** Lets one request at a time work on an upload. */
export class Holds {
  readonly #holders = new Map<string, Holder>()

  /**
   * Holds an upload. A request whose client has gone silent, as its line broke, is ended.
   * @returns what ends the hold
   * @throws {UploadError} `upload_in_progress` (423) if another request goes on
   */
  async take (name: string): Promise<() => void> {
    const begun = performance.now()
    for (let holder = this.#holders.get(name); holder !== undefined; holder = this.#holders.get(name)) {
      const silentMs = holder.silentMs?.()
      if (silentMs !== undefined && silentMs >= SILENT_MS) holder.end?.()
      // Undefined: it works on what has come, which takes a moment.
      const patience = silentMs === undefined ? LONGEST_WAIT_MS : PATIENCE_MS
      if (performance.now() - begun >= patience) throw inProgress()
      await atMost(holder.over, LOOK_MS)
    }
    return this.#hold(name)
  }

  /** The same if nobody holds it. */
  tryTake (name: string): (() => void) | undefined {
    return this.#holders.has(name) ? undefined : this.#hold(name)
  }

  /** Says whose request holds it. */
  watch (name: string, silentMs: () => number | undefined, end: () => void): void {
    const holder = this.#holders.get(name)
    if (holder !== undefined) Object.assign(holder, { silentMs, end })
  }

  has (name: string): boolean { return this.#holders.has(name) }

  #hold (name: string): () => void {
    let end = (): void => {}
    const holder: Holder = { over: new Promise(resolve => { end = resolve }) }
    this.#holders.set(name, holder)
    return () => {
      if (this.#holders.get(name) === holder) this.#holders.delete(name)
      end()
    }
  }
}

function inProgress (): UploadError {
  return new UploadError('upload_in_progress', 'Another request is sending this upload now.', { statusCode: 423 })
}

async function atMost (promise: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>(resolve => { timer = setTimeout(resolve, ms) })
  await Promise.race([promise, late])
  clearTimeout(timer)
}
