import type { FileHandle } from 'node:fs/promises'
import { LocalStoreError } from './errors.ts'
import { PacedStream } from '../downloads/paced-stream.ts'
import type { Span } from '../downloads/paced-stream.ts'

const READ_BYTES = 65_536 // 64 KiB
// What is dropped is still in the kernel's cache.
const PARK_MS = 1_000

/** Bytes of a local file. The stream owns the file and closes it, however it ends. */
export class LocalStream extends PacedStream {
  readonly #handle: Pick<FileHandle, 'read' | 'close'>

  constructor (handle: Pick<FileHandle, 'read' | 'close'>, span: Span) {
    super(span, PARK_MS)
    this.#handle = handle
  }

  protected override fetch (position: number, end: number): void {
    const length = Math.min(READ_BYTES, end - position)
    this.#handle.read(Buffer.allocUnsafeSlow(length), 0, length, position).then(({ bytesRead, buffer }) => {
      if (bytesRead === 0) throw new LocalStoreError('The file in local storage is damaged: it has fewer bytes than its receipt says', { error_code: 'io_error' })
      this.give(buffer.subarray(0, bytesRead))
    }).catch((error: unknown) => this.destroy(error as Error))
  }

  protected override isOpen (): boolean { return false }

  protected override park (): void {}

  override _destroy (error: Error | null, done: (error?: Error | null) => void): void {
    super._destroy(error, ended => {
      this.#handle.close().then(() => done(ended), (closeError: Error) => done(ended ?? closeError))
    })
  }
}
