import { tagsEnd } from '../audio/id3.ts'
import { readAudioTags } from '../audio/tags.ts'
import type { AudioTags } from '../audio/tags.ts'
import type { B2ReadError } from '../b2/read-requests.ts'
import { SMALLEST_PART_BYTES } from '../config/schema.ts'
import type { Track } from '../receipt.ts'
import { UploadError } from '../upload-errors.ts'
import { contentTypeOf, isAllowedType } from './content-type.ts'
import type { Intake } from './intake.ts'
import type { ReplayWindow } from './replay-window.ts'

/** What is known of a file before its bytes come. */
export interface IncomingFile {
  readonly id: string
  readonly key: string
  readonly filename: string
  readonly declaredType: string | undefined
  /** Tells it from what other uploads may store under the same key. */
  readonly attempt?: string | undefined
  /** Why B2 could not be asked whether it has a file under this key: then it is not given one. */
  readonly unasked?: B2ReadError | undefined
  /** Bytes of all of it, if they don't all come in one request. */
  readonly size?: number
}

/** Bytes that show the type of most files. */
export const SNIFF_BYTES = 65_536 // 64 KiB

/** Finds out what a file is while its bytes come. */
export class TrackBuilder {
  readonly #file: IncomingFile
  readonly #intake: Intake
  readonly #window: ReplayWindow
  #contentType = 'application/octet-stream'
  #audio: AudioTags | null | undefined
  #reading: Promise<AudioTags | null> | undefined

  constructor (file: IncomingFile, intake: Intake, window: ReplayWindow) {
    this.#file = file
    this.#intake = intake
    this.#window = window
  }

  get contentType (): string { return this.#contentType }

  /** What its tags say; undefined before they were read. */
  get audio (): AudioTags | null | undefined { return this.#audio }

  get hasReadTags (): boolean { return this.#audio !== undefined }

  /**
   * Gathers as much as shows the type of the file.
   * @throws {UploadError} `unsupported_media_type` if it is not one of `allowedTypes`
   */
  async findType (allowedTypes: readonly string[]): Promise<void> {
    await this.#gatherHead()
    const { type, isSniffed } = await contentTypeOf(this.#intake.gathered, this.#file)
    // What only claims to be audio has no tags that can be read, and looking for them in it takes long.
    if (!isSniffed) this.#audio = null
    if (!isAllowedType(type, allowedTypes)) {
      throw new UploadError('unsupported_media_type', `The file is ${type}, which is not accepted here.`,
        { hints: [`Send one of: ${allowedTypes.join(', ')}.`] })
    }
    this.#contentType = type
  }

  /**
   * Reads them once, while all that came is in memory.
   * @param last what was gathered since the last piece; none while more of it comes, as its buffer may change
   */
  async readTags (last = this.#intake.gathered): Promise<void> {
    if (this.hasReadTags) return
    const size = this.#file.size ?? this.#intake.size
    this.#reading ??= readAudioTags([...this.#window.bytes, last], { contentType: this.#contentType, filename: this.#file.filename, size })
    this.#audio = await this.#reading
  }

  /** Waits for the end of the request; then all is known of the file. @throws as {@link Intake.digest} */
  async finish (): Promise<Track> {
    const metadata = await this.#intake.finish()
    const sha256 = this.#intake.digest()
    await this.readTags()
    const { id, key, filename } = this.#file
    return {
      id,
      key,
      filename,
      content_type: this.#contentType,
      size_bytes: this.#intake.received,
      sha256,
      uploaded_at: new Date().toISOString(),
      metadata,
      audio: this.#audio ?? null,
    }
  }

  /** The type shows behind the tags that a file begins with, if they are not too large: what is gathered goes into the first part, which has a fixed size. */
  async #gatherHead (): Promise<void> {
    const intake = this.#intake
    await intake.gather(SNIFF_BYTES)
    let tags = 0
    for (let end = tagsEnd(intake.gathered); end > tags && !intake.isAtEnd; end = tagsEnd(intake.gathered)) {
      tags = end
      if (tags + SNIFF_BYTES / 2 <= intake.gathered.byteLength || tags > SMALLEST_PART_BYTES) return
      await intake.gather(Math.min(tags + SNIFF_BYTES, SMALLEST_PART_BYTES))
    }
  }
}
