import { createHash } from 'node:crypto'
import type { B2Store } from '../../b2/store.ts'
import { isManifest } from '../../local/manifest.ts'
import type { SplitManifest } from '../../local/manifest.ts'
import { withCorrelationId } from '../../local/receipts.ts'
import type { LocalStore } from '../../local/store.ts'
import type { Source } from '../../intake/source.ts'
import type { UploadContext } from '../../log.ts'
import type { Promoter } from '../../promotion/promoter.ts'
import type { FallbackReason, Receipt, StoredLocally, StoredSplit, Track } from '../../receipt.ts'
import { UploadError } from '../../upload-errors.ts'
import type { Disk, Segment } from '../stores/disk.ts'
import type { ResumableUpload } from '../upload.ts'

export interface Finishing {
  /** Undefined in local-only mode. */
  readonly b2: B2Store | undefined
  readonly local: LocalStore
  readonly disk: Disk
  readonly upload: ResumableUpload
  readonly context: UploadContext
  readonly signal: AbortSignal
  /** Why B2 failed; undefined if the service has no B2. */
  readonly reason: FallbackReason | undefined
  readonly join: Promoter['join']
  readonly beyondWindow: 'split' | 'refuse'
  readonly verify: Source['verify']
}

/** A client is answered no later than this after its last byte. */
const LONGEST_JOIN_MS = 45_000

/**
 * Makes a file of an upload whose last bytes are in local storage: a whole one if B2 has nothing of it, else a split one, and tries to join that at
 * once. It becomes durable as every local file does; until then the upload is as it was.
 * @param track with an empty hash if that is not known
 * @param last the segment that is not among those of the upload yet
 * @throws {UploadError} `storage_unavailable` if the hash can't be found out without B2; `digest_mismatch`. {LocalStoreError}
 */
export async function finishLocally (finishing: Finishing, track: Track, last: Segment | undefined): Promise<Receipt> {
  const { b2, local, disk, upload, context, reason } = finishing
  const { key, size_bytes: size } = track
  const { name, parts, info: { part_bytes: partBytes, upload_id: uploadId } } = upload
  const hasAllElse = last?.start === upload.partsEnd
  const tail = !hasAllElse && upload.tail?.start === upload.partsEnd ? upload.tail : undefined
  const isInB2 = parts.length > 0 || tail !== undefined
  if (isInB2 && finishing.beyondWindow === 'refuse') throw incomplete(`B2 has the beginning of the file, and ${reason!.detail}.`)
  if (isInB2 && track.sha256 === '') throw incomplete(`This process has not seen the beginning of the file, which is in B2 and has to be read there: ${reason!.detail}.`)
  const segments = [...hasAllElse ? [] : upload.segments, ...last === undefined ? [] : [last]]
  const writer = await local.create(key, { kind: isInB2 ? 'rest' : 'data', log: context.log, expectedBytes: size - Math.min(size, upload.partsEnd) })
  try {
    const whole = createHash('sha256')
    const cut = new PartCutter(partBytes, parts.length + 1, tail === undefined ? 0 : tail.end - tail.start)
    for await (const chunk of disk.bytes(name, segments, tail?.end ?? upload.partsEnd) as AsyncIterable<Buffer>) {
      whole.update(chunk)
      cut.add(chunk)
      await writer.write(chunk)
    }
    const known = isInB2 ? track : { ...track, sha256: whole.digest('hex') }
    finishing.verify?.(known.sha256)
    if (!isInB2) {
      const receipt: StoredLocally = {
        storage: 'local', location: local.location(key), ...(reason === undefined ? {} : { fallback_from_b2: true as const, fallback_reason: reason }), track: known,
      }
      await writer.commit(withCorrelationId(receipt, context))
      if (uploadId !== undefined) await b2?.endLater(key, uploadId, context.correlationId)
      return receipt
    }
    const localParts = cut.end()
    const localBytes = localParts.reduce((sum, { bytes }) => sum + bytes, 0)
    const receipt: StoredSplit = {
      storage: 'split', location: key, fallback_from_b2: true, fallback_reason: reason!, split: { b2_bytes: size - localBytes, local_bytes: localBytes }, track: known,
    }
    const manifest: SplitManifest = {
      upload_id: uploadId!,
      part_bytes: partBytes,
      b2_parts: [...parts],
      local_parts: localParts,
      ...(tail === undefined ? {} : { b2_tail: { key: tail.key, bytes: tail.end - tail.start, sha256: tail.sha256 } }),
    }
    if (!isManifest(manifest, size)) throw new Error('The parts of a split file are not those of the file.')
    await writer.commit(withCorrelationId({ ...receipt, manifest }, context))
    return await joinAtOnce(finishing, receipt)
  } catch (error) {
    await writer.discard() // which does nothing after a commit
    throw error
  }
}

async function joinAtOnce ({ b2, local, join, context, signal, reason }: Finishing, receipt: StoredSplit): Promise<Receipt> {
  const { key } = receipt.track
  const end = AbortSignal.any([signal, AbortSignal.timeout(LONGEST_JOIN_MS)])
  const outcome = await join(key, end)
  if (outcome.kind === 'joined') return { storage: 'b2', location: key, track: receipt.track }
  if (outcome.kind !== 'lost') return receipt
  await b2!.forget(key, context.correlationId)
  await local.remove(key)
  throw new UploadError('fallback_impossible', `${reason!.detail}; then: ${outcome.detail}.`)
}

function incomplete (detail: string): UploadError {
  return new UploadError('storage_unavailable', detail, {
    error: 'The upload can\'t be completed while B2 is out of reach.',
    hints: ['Send the last piece again after the time in Retry-After: all before it is kept.'],
  })
}

/** Cuts what goes into the rest of a split file as B2 would have got it, and hashes each piece. */
class PartCutter {
  readonly #partBytes: number
  readonly #parts: SplitManifest['local_parts'] = []
  #number: number
  #room: number
  #hash = createHash('sha256')
  #bytes = 0

  /** @param before bytes of the first part that are not among those that come */
  constructor (partBytes: number, firstNumber: number, before: number) {
    this.#partBytes = partBytes
    this.#number = firstNumber
    this.#room = partBytes - before
  }

  add (bytes: Uint8Array): void {
    for (let rest = bytes; rest.byteLength > 0;) {
      const own = rest.subarray(0, this.#room - this.#bytes)
      this.#hash.update(own)
      this.#bytes += own.byteLength
      rest = rest.subarray(own.byteLength)
      if (this.#bytes === this.#room) this.#next()
    }
  }

  end (): SplitManifest['local_parts'] {
    if (this.#bytes > 0) this.#next()
    return this.#parts
  }

  #next (): void {
    this.#parts.push({ number: this.#number++, bytes: this.#bytes, sha256: this.#hash.digest('hex') })
    this.#hash = createHash('sha256')
    this.#bytes = 0
    this.#room = this.#partBytes
  }
}
