import { createHash } from 'node:crypto'
import { readAudioTags } from '../../audio/tags.ts'
import type { ContinuedUpload } from '../../b2/continued-upload.ts'
import { etagOfParts } from '../../b2/object-receipt.ts'
import { B2ReadError } from '../../b2/read-requests.ts'
import type { B2Part, B2Store, B2UploadFailure } from '../../b2/store.ts'
import { bothFailed } from '../../intake/sinks/both-failed.ts'
import type { Source } from '../../intake/source.ts'
import { LocalStoreError } from '../../local/errors.ts'
import type { LocalStore } from '../../local/store.ts'
import type { UploadContext } from '../../log.ts'
import type { StoredInB2, Track } from '../../receipt.ts'
import { UploadError } from '../../upload-errors.ts'
import type { ResumableUpload } from '../upload.ts'

export interface Completing {
  readonly b2: B2Store
  readonly local: LocalStore
  readonly upload: ResumableUpload
  readonly context: UploadContext
  readonly signal: AbortSignal
  readonly verify: Source['verify']
}

/** A track whose hash may have to be found out. */
export type AlmostTrack = Omit<Track, 'sha256'> & { readonly sha256: string | undefined }

/**
 * Makes the object of its parts, which B2 has acknowledged, with its receipt beside it. If the hash is known the receipt comes first, so that the
 * object is never without; else the object is read once more.
 * @throws {UploadError} `invalid_request` (409) if B2 does not have these parts any more; `digest_mismatch`; `storage_unavailable`
 */
export async function completeInB2 (completing: Completing & { readonly continued: ContinuedUpload }, track: AlmostTrack, parts: readonly B2Part[]): Promise<StoredInB2 | B2UploadFailure> {
  const { b2, upload, continued, context, signal } = completing
  const { sha256 } = track
  const etag = etagOfParts(parts)
  if (sha256 !== undefined) {
    const stored = await b2.putReceipt({ ...track, sha256 }, { signal, context, etag })
    if (!stored.ok) return stored
  }
  const done = await continued.complete(parts, etag)
  if (!done.ok) {
    if (done.isUploadGone === true) throw new UploadError('invalid_request', 'Another request has completed, changed or ended the upload meanwhile.', { statusCode: 409 })
    return done
  }
  if (sha256 !== undefined) return receiptOf({ ...track, sha256 })
  return await readBack(completing, track, upload.info.content_type)
}

/** Finds out the hash of an object, and stores its receipt. @throws {UploadError} as {@link completeInB2} */
export async function readBack ({ b2, local, context, signal, verify }: Completing, track: AlmostTrack, contentType: string | undefined): Promise<StoredInB2> {
  const { key, size_bytes: size, filename } = track
  const hash = createHash('sha256')
  let head = Buffer.alloc(0)
  try {
    const stream = await b2.read(key, undefined, signal, size)
    for await (const chunk of (stream ?? []) as AsyncIterable<Buffer>) {
      hash.update(chunk)
      if (head.byteLength < HEAD_BYTES) head = Buffer.concat([head, chunk])
    }
    if (stream === undefined) throw new UploadError('invalid_request', 'The file was removed while it was completed.', { statusCode: 409 })
  } catch (error) {
    if (!(error instanceof B2ReadError)) throw error
    throw new UploadError('storage_unavailable', `The file is in B2, and could not be read there to find out its hash: ${error.detail}.`, {
      error: 'The upload could not be completed yet.', hints: ['Go on with the upload after the time in Retry-After: what was sent is kept.'], cause: error,
    })
  }
  const sha256 = hash.digest('hex')
  try {
    verify?.(sha256)
  } catch (error) {
    await b2.remove(key)
    throw error
  }
  const audio = track.audio ?? (contentType === undefined ? null : await readAudioTags([head], { contentType, filename, size }))
  const receipt = receiptOf({ ...track, sha256, audio })
  const stored = await b2.putReceipt(receipt.track, { signal, context })
  if (stored.ok) return receipt
  try {
    await local.keepReceipt(key, receipt, context)
  } catch (error) {
    throw error instanceof LocalStoreError ? bothFailed(stored, error) : error
  }
  return receipt
}

// The tags are at the beginning of most files.
const HEAD_BYTES = 1_048_576 // 1 MiB

function receiptOf (track: Track): StoredInB2 {
  return { storage: 'b2', location: track.key, track }
}
