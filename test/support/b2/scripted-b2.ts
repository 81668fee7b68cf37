import type { B2ObjectInfo, B2PartsUpload, B2Result, B2Store, B2UploadFailure, PartsOptions, PutOptions } from '../../../services/b2/store.ts'
import type { UploadContext } from '../../../services/log.ts'
import type { Track } from '../../../services/receipt.ts'

/** A failure of B2 that says nothing against another try. */
export const UNAVAILABLE: B2UploadFailure = {
  ok: false,
  error_code: 'service_unavailable',
  detail: 'B2 is unavailable',
  raw: 'Unavailable.',
  weight: 'soft',
  retryable: true,
  attempts: 4,
  mayBeStored: false,
}

/** A multipart upload, which acknowledges parts and fails when the test says so. */
export class ScriptedUpload {
  readonly object: B2ObjectInfo
  readonly options: PartsOptions
  readonly parts: Buffer[] = []
  readonly handle: B2PartsUpload
  isAborted = false
  isCleared = false
  #settle: (result: B2Result) => void = () => {}
  readonly #failed = new AbortController()

  constructor (b2: ScriptedB2, object: B2ObjectInfo, options: PartsOptions) {
    this.object = object
    this.options = options
    this.handle = {
      result: new Promise(resolve => { this.#settle = resolve }),
      failed: this.#failed.signal,
      push: async (part, last = false) => {
        this.parts.push(Buffer.from(part))
        await b2.onPart(this, this.parts.length, last)
      },
      abort: () => {
        this.isAborted = true
        this.fail({ ...UNAVAILABLE, raw: 'The upload was aborted.' })
      },
      clear: async () => { this.isCleared = true },
    }
  }

  get content (): Buffer { return Buffer.concat(this.parts) }

  acknowledge (part: number, firstTry = true): void {
    if (!this.#failed.signal.aborted) this.options.onPartStored(part, firstTry)
  }

  succeed (): void {
    this.#settle({ ok: true, key: this.object.key, firstTry: true })
  }

  fail (failure: B2UploadFailure = UNAVAILABLE): void {
    this.#failed.abort()
    this.#settle(failure)
  }
}

/** B2 as uploads see it, where each answer comes at a moment of the test's choice. It takes everything where nothing else is said. */
export class ScriptedB2 {
  readonly partBytes: number
  readonly concurrency = 5
  readonly puts: { object: B2ObjectInfo, content: Buffer, sha256: string, signal: AbortSignal | undefined }[] = []
  readonly uploads: ScriptedUpload[] = []
  readonly receipts: { track: Track, correlationId: string | undefined, signal: AbortSignal | undefined }[] = []
  /** What is to be removed, and for whose upload. */
  readonly forgotten: [key: string, correlationId: string | undefined][] = []
  /** How often it was asked to work off what is to be removed. */
  cleanups = 0
  onPut: (signal: AbortSignal | undefined) => Promise<B2Result> = async () => ({ ok: true, key: '', firstTry: true })
  onReceipt: (signal: AbortSignal | undefined) => Promise<B2Result> = async () => ({ ok: true, key: '', firstTry: true })
  onPart: (upload: ScriptedUpload, part: number, last: boolean) => void | Promise<void> = (upload, part, last) => {
    upload.acknowledge(part)
    if (last) upload.succeed()
  }

  constructor (partBytes: number) {
    this.partBytes = partBytes
  }

  get store (): B2Store {
    const own: Pick<B2Store, 'partBytes' | 'concurrency' | 'put' | 'begin' | 'putReceipt' | 'forget' | 'retryCleanup'> = {
      partBytes: this.partBytes,
      concurrency: this.concurrency,
      put: async (object: B2ObjectInfo, body: Uint8Array, sha256: string, { signal }: PutOptions = {}) => {
        this.puts.push({ object, content: Buffer.from(body), sha256, signal })
        return await this.onPut(signal)
      },
      begin: (object, options) => {
        const upload = new ScriptedUpload(this, object, options)
        this.uploads.push(upload)
        return upload.handle
      },
      putReceipt: async (track: Track, { signal, context }: PutOptions & { context?: UploadContext } = {}) => {
        this.receipts.push({ track, correlationId: context?.correlationId, signal })
        return await this.onReceipt(signal)
      },
      forget: async (key, correlationId) => {
        this.forgotten.push([key, correlationId])
        return true
      },
      retryCleanup: () => { this.cleanups++ },
    }
    return own as B2Store
  }
}
