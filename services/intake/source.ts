import type { Readable } from 'node:stream'

/** What is known of a file besides its bytes. */
export interface FileInfo {
  /** The client's file name. */
  readonly filename?: string | undefined
  /** Declared media type; it counts if the bytes don't tell. */
  readonly contentType?: string | undefined
}

/** A file that is to be stored, and the request or stream that it comes in. */
export interface Source extends FileInfo {
  /** The bytes of the file. */
  readonly stream: Readable
  /** What is stored of the file already and is read once more, before `stream`. */
  readonly before?: Readable | undefined
  /** At most this many bytes come, if that is known; memory is set aside for no more, so more are an error. */
  readonly expectedBytes?: number | undefined
  /** Whether fewer than `expectedBytes` are an error, too. */
  readonly isExact?: boolean
  /** Reads what comes before the file. `stream`, `filename` and `contentType` are known from then on. */
  open? (): Promise<void>
  /** Says that the file is wanted: its client may have waited for that before it sends it. */
  begin? (): void
  /** Waits for what follows the file, and gives the text fields. */
  complete (): Promise<Record<string, string>>
  /** Throws if the file is not the one that its client means to send; asked once, when all has come. @param sha256 hex */
  verify? (sha256: string): void
  /** Bytes that have come from the client so far, whatever they were; by default those of the file. */
  readonly received?: (() => number) | undefined
  /** Says what a failure of `stream` means; by default it is a `malformed_upload`. */
  explain? (error: unknown): Error
}

/** The source of an upload failed, which is never B2's fault; `cause` is what it failed with. */
export class SourceError extends Error {
  override readonly name = 'SourceError'

  constructor (cause: unknown) {
    super('The source of the upload failed.', { cause })
  }
}

/** What was stored of an upload could not be read; `cause` says why. */
export class ReplayError extends Error {
  override readonly name = 'ReplayError'

  constructor (cause: unknown) {
    super('What was stored of the upload could not be read.', { cause })
  }
}
