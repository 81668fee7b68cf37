import { EventEmitter } from 'node:events'
import type { IncomingHttpHeaders } from 'node:http'
import type { Fault } from './faults/faults.ts'
import type { Operation } from './http/target.ts'

const KEPT_RECORDS = 10_000

/**
 * How a request ended: `answered` in full; `reset`, `hung`, `cut` (answer truncated) or `garbage` by a fault; `client-gone` if the client
 * left first; `closed` if the emulator was closed or began to refuse connections.
 */
export type RequestOutcome = 'pending' | 'answered' | 'reset' | 'hung' | 'cut' | 'garbage' | 'client-gone' | 'closed'

/** One request as the emulator saw it; it changes until `outcome` is final. */
export interface RequestRecord {
  /** Counts up from 1 over the life of the emulator. */
  readonly id: number
  /** Number of the connection it came over: equal for requests that shared one. */
  readonly connection: number
  readonly operation: Operation
  readonly method: string
  readonly key: string | undefined
  readonly partNumber: number | undefined
  readonly uploadId: string | undefined
  readonly versionId: string | undefined
  /** All but Authorization. */
  readonly headers: Readonly<IncomingHttpHeaders>
  /** When its head had arrived. */
  readonly at: Date
  /** The fault that hit it. */
  readonly fault: Fault | undefined
  /** Status of the answer; undefined until there is one. */
  status: number | undefined
  /** S3 code of a refusal, whether or not it could be answered. */
  errorCode: string | undefined
  outcome: RequestOutcome
  /** Bytes of the body read so far. */
  bytesReceived: number
}

/**
 * - `request`: a request's head has arrived.
 * - `applied`: its operation has succeeded, the answer comes next or never. That of a late request (`Fault.late`) may be over by then.
 * - `fault`: a fault takes hold: the answer is withheld, the connection is about to be reset, reading has stopped and so on.
 * - `response`: a request has ended, however; see its `outcome`.
 */
export type EmulatorEvent = 'request' | 'applied' | 'fault' | 'response'

export type EmulatorListener = (record: RequestRecord) => void

/** The requests seen, newest last, and their events. */
export class RequestJournal {
  readonly #emitter = new EventEmitter()
  readonly #waiting = new Set<(error: Error) => void>()
  #records: RequestRecord[] = []
  #count = 0

  constructor () {
    this.#emitter.setMaxListeners(0)
  }

  get records (): readonly RequestRecord[] {
    return this.#records
  }

  open (seen: Omit<RequestRecord, 'id' | 'at' | 'status' | 'errorCode' | 'outcome' | 'bytesReceived'>): RequestRecord {
    this.#count += 1
    const record: RequestRecord = {
      ...seen, id: this.#count, at: new Date(), status: undefined, errorCode: undefined, outcome: 'pending', bytesReceived: 0,
    }
    if (this.#records.length >= KEPT_RECORDS) this.#records.shift()
    this.#records.push(record)
    this.emit('request', record)
    return record
  }

  emit (event: EmulatorEvent, record: RequestRecord): void {
    this.#emitter.emit(event, record)
  }

  on (event: EmulatorEvent, listener: EmulatorListener): () => void {
    this.#emitter.on(event, listener)
    return () => { this.#emitter.off(event, listener) }
  }

  waitFor (event: EmulatorEvent, accept: (record: RequestRecord) => boolean): Promise<RequestRecord> {
    const promise = new Promise<RequestRecord>((resolve, reject) => {
      const off = this.on(event, (record) => {
        if (!accept(record)) return
        off()
        this.#waiting.delete(fail)
        resolve(record)
      })
      const fail = (error: Error) => {
        off()
        reject(error)
      }
      this.#waiting.add(fail)
    })
    // A caller that awaits it still sees the rejection; without one, it must not end the process.
    promise.catch(() => {})
    return promise
  }

  clear (): void {
    this.#records = []
  }

  /** Rejects every wait still open. */
  end (): void {
    for (const fail of this.#waiting) fail(new Error('The emulator was closed before the awaited request was seen'))
    this.#waiting.clear()
  }
}
