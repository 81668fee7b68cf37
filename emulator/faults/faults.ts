import { setMaxListeners } from 'node:events'
import type { Operation, Target } from '../http/target.ts'

/** What goes wrong, if it is more than an explicit answer. See `Fault.action`. */
export type FaultAction =
  | 'hang' | 'stop-reading' | 'reset' | 'lose-answer' | 'lose-answer-hang'
  | 'error-in-200' | 'no-etag' | 'truncate-answer' | 'garbage' | 'white-space'

/**
 * A scripted fault: which requests it hits, and what happens to them. It has `status` or `action`, or only `delayMs` or
 * `bytesPerSecond`: then the request is served normally.
 */
export interface Fault {
  /** Operations it hits. Default: any. */
  operation?: Operation | readonly Operation[]
  /** Part number it hits, UploadPart only. Default: any. */
  part?: number
  /** Object names it hits: equal, matching, or accepted by the function. Default: any request, also one without an object. */
  key?: string | RegExp | ((key: string) => boolean)
  /** Matching requests that pass first, without those that an earlier fault hit. Default 0. */
  after?: number
  /** Matching requests it hits. Default 1; `Infinity` for all. */
  times?: number

  /** Milliseconds to wait before answering or acting, `Infinity` for until `release()` of the handle. What is applied is applied before the wait. Default 0. */
  delayMs?: number
  /** Reading of the request's body, and writing of the answer's, in bytes per second. Default: the emulator's throttle. */
  bytesPerSecond?: number

  /** Answer with this status, applying nothing but with `apply: true`. The body has been read, unless `early`. */
  status?: number
  /** S3 error code, with `status`, 'error-in-200' or 'white-space'. Default: what B2 usually sends with that status. */
  code?: string
  /** S3 error message, with `status` or 'error-in-200'. Default: what B2 usually sends with that status. */
  message?: string
  /** Headers added to the `status` answer, such as Retry-After. */
  headers?: Record<string, string>
  /** Body of the `status` answer instead of B2's error document. */
  body?: string
  /** Type of that body. Default application/xml. */
  contentType?: string
  /** Send the `status` answer before reading the body, and close the connection. */
  early?: boolean

  /**
   * - `hang`: the body is read, nothing is applied, no answer ever comes.
   * - `stop-reading`: reading stops at `atByte` (default 0); the body backs up, no answer ever comes. A connection stalled like this
   *   doesn't notice that its client has gone; it stays open until the emulator closes it.
   * - `reset`: the connection is reset (RST) `at` a point; nothing is applied.
   * - `lose-answer`: the operation is applied, then the connection is reset instead of answering.
   * - `lose-answer-hang`: the operation is applied, no answer ever comes.
   * - `error-in-200`: status 200 whose body is an error document; applied only with `apply: true`.
   * - `no-etag`: a success without ETag; not applied with `apply: false`.
   * - `truncate-answer`: headers with the full Content-Length, then the connection closes after `atByte` bytes of the answer's body (default half).
   * - `white-space`: status 200 at once, then a space every `everyMs` for `delayMs`; only then it is applied and the document follows,
   *   as S3 documents it of CompleteMultipartUpload. With `code` the document is an error, and it is applied only with `apply: true`.
   * - `garbage`: the body is read, then bytes are sent that are not HTTP; nothing is applied.
   */
  action?: FaultAction
  /** Pause between two spaces of 'white-space', milliseconds. Default 1,000. */
  everyMs?: number
  /** Send the XML declaration before the spaces of 'white-space'. Default: it comes with the document. */
  declarationFirst?: boolean
  /** When `reset` happens. During the body means after `atByte` bytes. Default 'after-body'. */
  at?: 'before-body' | 'during-body' | 'after-body'
  /** Bytes into the body. Default: 0 for 'stop-reading', half the body otherwise. */
  atByte?: number
  /** Whether the operation takes effect. Default: false for `status` and 'error-in-200', true for 'no-etag'; other actions say so in their names. */
  apply?: boolean
  /**
   * The operation is carried out late: once its body has come whole, it is held back until `land()` of the handle, whatever becomes of
   * its client. With a `status` that is not `early`, 'hang', or 'reset' after the body: that is what the client sees of it.
   */
  late?: boolean
}

/** A scripted fault in force. */
export interface FaultHandle {
  /** Requests hit so far. */
  readonly applied: number
  /** Requests that it holds back (`late`). */
  readonly held: number
  /**
   * Carries out the requests held back, in the order in which their bodies had come, on what is there now. Returns how many succeeded;
   * `errorCode` of the others says why not.
   */
  land (): number
  /** Ends what it makes requests wait for, `delayMs` and `bytesPerSecond`, also for those that it hits from now on. */
  release (): void
  /** Removes it; requests that it already hit stay hit, and those that it holds back can still land. */
  cancel (): void
}

interface Entry {
  fault: Fault
  /** Aborted when nothing waits for it any more. */
  release: AbortController
  seen: number
  applied: number
}

/** A fault that hit a request. */
export interface Hit {
  fault: Fault
  /** Aborts when nothing waits for it any more. */
  released: AbortSignal
  /** Has `apply` called when the fault's handle says so; it returns whether it succeeded. */
  hold: (apply: () => boolean) => void
}

function checkFault (fault: Fault): void {
  if (fault.status !== undefined && fault.action !== undefined) {
    throw new TypeError('A fault has either a status or an action, not both')
  }
  const { status, action, delayMs, bytesPerSecond } = fault
  if (status === undefined && action === undefined && delayMs === undefined && bytesPerSecond === undefined) {
    throw new TypeError('A fault needs a status, an action, delayMs or bytesPerSecond')
  }
  if (status !== undefined && (!Number.isInteger(status) || status < 200 || status > 599)) {
    throw new TypeError('The status of a fault must be between 200 and 599')
  }
  if (bytesPerSecond !== undefined && !(bytesPerSecond > 0)) throw new TypeError('bytesPerSecond must be above 0')
  if (fault.late === true && !canBeLate(fault)) {
    throw new TypeError("A late fault has a status that is not early, 'hang', or 'reset' after the body, and no apply")
  }
}

function canBeLate ({ status, action, early, at, apply }: Fault): boolean {
  if (apply !== undefined) return false
  if (status !== undefined) return early !== true
  return action === 'hang' || (action === 'reset' && (at ?? 'after-body') === 'after-body')
}

function matches (fault: Fault, target: Pick<Target, 'operation' | 'key' | 'partNumber'>): boolean {
  const { operation, part, key } = fault
  if (operation !== undefined && !(typeof operation === 'string' ? [operation] : operation).includes(target.operation)) return false
  if (part !== undefined && (target.operation !== 'UploadPart' || target.partNumber !== part)) return false
  if (key === undefined) return true
  if (target.key === undefined) return false
  if (typeof key === 'string') return key === target.key
  return typeof key === 'function' ? key(target.key) : target.key.search(key) !== -1
}

/** The faults in force, in the order they were added. */
export class FaultScript {
  #entries: Entry[] = []
  #held: Array<{ entry: Entry, apply: () => boolean }> = []

  /** Throws TypeError for a fault that contradicts itself or does nothing. */
  add (fault: Fault): FaultHandle {
    checkFault(fault)
    const entry: Entry = { fault, release: new AbortController(), seen: 0, applied: 0 }
    setMaxListeners(0, entry.release.signal) // each request that it holds listens
    const held = () => this.#held.filter((one) => one.entry === entry)
    this.#entries.push(entry)
    return {
      get applied () { return entry.applied },
      get held () { return held().length },
      land: () => {
        const due = held()
        this.#held = this.#held.filter((one) => one.entry !== entry)
        return due.filter(({ apply }) => apply()).length
      },
      release: () => { entry.release.abort() },
      cancel: () => { this.#entries = this.#entries.filter((other) => other !== entry) },
    }
  }

  /** The first fault that matches and has hits left; counts it as applied. */
  take (target: Pick<Target, 'operation' | 'key' | 'partNumber'>): Hit | undefined {
    for (const entry of this.#entries) {
      if (!matches(entry.fault, target)) continue
      entry.seen += 1
      if (entry.seen <= (entry.fault.after ?? 0) || entry.applied >= (entry.fault.times ?? 1)) continue
      entry.applied += 1
      return { fault: entry.fault, released: entry.release.signal, hold: (apply) => { this.#held.push({ entry, apply }) } }
    }
    return undefined
  }

  clear (): void {
    this.#entries = []
  }

  /** Clears it, and drops the requests held back. */
  forget (): void {
    this.clear()
    this.#held = []
  }
}
