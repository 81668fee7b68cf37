import type { B2UploadFailure } from '../../b2/store.ts'
import type { Receipt, Track } from '../../receipt.ts'

/** Some bytes of a file, numbered from 1 on in the order in which they came. */
export interface Piece {
  readonly number: number
  readonly bytes: Uint8Array
}

/** Says that a sink holds a piece safely. @param reuse whether nobody reads its buffer any more */
export type OnHeld = (number: number, reuse: boolean) => void

/**
 * Where the pieces of an upload go. It says which ones it holds safely, and at the end makes a stored file of them. To fall back is to
 * replace it by another one. What fails in local storage is thrown; B2's failures are told, since an upload goes on after them.
 */
export interface Sink {
  /** Whether its file may have to be stored anew elsewhere, so that what it holds should be kept in memory, too. */
  readonly mayFail: boolean
  /** Fires when B2 has failed. */
  readonly failed?: AbortSignal
  /** Why B2 has failed; to be asked for once {@link failed} has fired. */
  failure? (): Promise<B2UploadFailure>
  /** Begins, so that what can't be stored is refused before it comes. Default: with the first piece. */
  open? (): Promise<void>
  /** Bytes of the next piece, if a buffer of `capacity` bytes has been begun. */
  pieceBytes (capacity: number): number
  /** Takes a piece that is not the last; resolves when it is ready for the next. */
  take (piece: Piece): Promise<void>
  /** Takes the last piece, and stores the file. */
  finish (track: Track, last: Piece): Promise<Receipt | B2UploadFailure>
  /** Resolves when nothing of it is on its way to B2 any more. */
  settled (): Promise<void>
  /** Sees to it that nothing of the file is left here, nor in the sink before it. Never rejects. */
  discard (): Promise<void>
}

/** Whether B2 has failed. */
export function isFailure (end: Receipt | B2UploadFailure): end is B2UploadFailure {
  return 'ok' in end
}
