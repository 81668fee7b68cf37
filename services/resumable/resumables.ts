import type { Source } from '../intake/source.ts'
import type { UploadRequest } from '../intake/receiver.ts'
import type { UploadKey } from '../idempotency/keyed-uploads.ts'
import type { Receipt } from '../receipt.ts'

/** What a client says of a file when it creates a resumable upload. */
export interface NewResumable {
  /** The client's file name. */
  readonly filename: string | undefined
  /** Declared media type. */
  readonly contentType: string | undefined
  /** Text fields, kept with the file. */
  readonly fields: Readonly<Record<string, string>>
  /** Upload-Metadata as it came, decoded; it is given back as it is. */
  readonly metadata: Readonly<Record<string, string | null>>
  /** Bytes of the file; undefined if they are told later. */
  readonly length: number | undefined
  /** Who creates it; undefined if nobody is asked for. */
  readonly caller: string | undefined
  /** Hex; what the file must have, if the client says it. */
  readonly sha256?: string | undefined
}

/** Where a resumable upload stands. */
export interface ResumableStatus {
  /** The name of the later file, which the upload's URL ends in. */
  readonly name: string
  /** Bytes that are safe in a store. */
  readonly offset: number
  /** Bytes of the whole file; undefined until they are told. */
  readonly length: number | undefined
  /** As it was given. */
  readonly metadata: Readonly<Record<string, string | null>>
  /** Unix time in milliseconds at which it is removed if nothing more comes; undefined once it is complete. */
  readonly expiresAt: number | undefined
  /** The receipt of the file once it is complete. */
  readonly receipt: Receipt | undefined
}

/** A piece of a file that continues an upload. */
export interface Append {
  /** Where it begins, which has to be the upload's offset. */
  readonly offset: number
  /** The bytes. */
  readonly source: Source
  /** Bytes of the whole file, if they are told now. */
  readonly length?: number | undefined
}

/** Uploads that are continued over several requests, by this process or another one. */
export interface Resumables {
  /** Largest file, bytes. */
  readonly maxBytes: number
  /** Milliseconds after the last byte after which an upload is removed. */
  readonly maxAgeMs: number
  /** Unfinished uploads that this process knows. */
  readonly count: number
  /**
   * Waits until no other request works on the upload, for a short time. A request whose client has gone silent is ended.
   * @returns what ends the hold
   * @throws {UploadError} `upload_in_progress` if another one goes on
   */
  hold (name: string): Promise<() => void>
  /** Makes the name of a new upload. With `key` the same one each time: then {@link existing} tells whether it is new. */
  newName (filename: string | undefined, key?: UploadKey): string
  /**
   * The upload that was created with the same key before, or the file that it has become; undefined if there is none. The caller holds `name`.
   * @throws {UploadError} `idempotency_key_reused`; `upload_in_progress` while something of an earlier one is still removed; `storage_unavailable`
   */
  existing (name: string, upload: Pick<NewResumable, 'filename' | 'length' | 'caller'>): Promise<ResumableStatus | undefined>
  /**
   * Begins an upload, durably, unless `isWhole` says that the file follows at once: then nothing is kept of it before that. The caller holds `name`.
   * @throws {UploadError}
   */
  create (name: string, upload: NewResumable, request: UploadRequest): Promise<ResumableStatus>
  /**
   * Takes a whole new file in one request, as `PUT` does; nothing is kept of one that breaks off.
   * @throws {UploadError | ClientGoneError}
   */
  receive (name: string, upload: NewResumable, source: Source, request: UploadRequest): Promise<ResumableStatus>
  /**
   * Where an upload stands, or the file that it has become. The caller holds `name`.
   * @param offset that a client goes on from: if this process told it that one, no store is asked
   * @throws {UploadError} `not_found` (410 if it is known to be gone), also for another caller's; `storage_unavailable`
   */
  status (name: string, caller: string | undefined, offset?: number): Promise<ResumableStatus>
  /**
   * Takes a piece. It resolves when all that came is safe in a store, and with the receipt once that is all of the file. If the request breaks off,
   * what came is kept. The caller holds `name`.
   * @throws {UploadError | ClientGoneError} `invalid_request` (409) for another offset
   */
  append (name: string, caller: string | undefined, append: Append, request: UploadRequest): Promise<ResumableStatus>
  /** Ends an upload, and removes all of it. The caller holds `name`. @throws {UploadError} `invalid_request` if it is complete */
  remove (name: string, caller: string | undefined, request: UploadRequest): Promise<void>
}
