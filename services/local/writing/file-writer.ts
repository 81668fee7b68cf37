import { syncDirectory, type FileSystem } from '../../disk/file-system.ts'
import { LocalStoreError, toLocalStoreError } from '../errors.ts'
import type { Reservation } from './free-space.ts'
import type { Heartbeat } from './heartbeat.ts'
import type { Log } from '../../log.ts'
import type { LocalPlace } from '../names.ts'
import { oneAtATime } from '../../tasks/one-at-a-time.ts'
import { PartFile } from '../../disk/part-file.ts'

/** Room for the receipt and for half-filled blocks. */
export const RECEIPT_BYTES = 16_384 // 16 KiB

/** For a file of unknown size, room is reserved in steps: as much as it has by now, within these. */
const FIRST_STEP_BYTES = 262_144 // 256 KiB
const LAST_STEP_BYTES = 16_777_216 // 16 MiB

/** Bytes between two checks of the disk, which others use as well. */
const CHECK_BYTES = 16_777_216 // 16 MiB

const FAILED = 'The file could not be stored locally'

/** Writes one file. Calls take turns, in their order. */
export interface LocalFileWriter {
  /** Bytes the file system has taken so far. */
  readonly bytesWritten: number
  /**
   * Resolves when the bytes are written (backpressure); the chunk must not change before that.
   * @throws LocalStoreError; the writer has discarded itself by then
   */
  write (chunk: Uint8Array): Promise<void>
  /**
   * Makes file and receipt durable and gives them their names; until then neither is visible.
   * @returns the location, `LocalStore.location(key)`
   * @throws LocalStoreError; nothing is left then
   */
  commit (receipt: object): Promise<string>
  /**
   * Removes everything. Never rejects, and may be called at any time: after a commit it does nothing, and during one it waits for
   * the outcome and leaves it as it is.
   */
  discard (): Promise<void>
}

export interface FileWriterOptions {
  fs: FileSystem
  /** The data file, just created. The writer owns it from here on. */
  data: PartFile
  place: LocalPlace
  /** Whether it is a whole file or what B2 lacks of one. */
  kind: 'data' | 'rest'
  location: string
  /** Room for the file: its size, if that is known, and {@link RECEIPT_BYTES}. The writer releases what it does not need. */
  room: Reservation
  heartbeat: Heartbeat
  log: Log
  /** Called when the file is stored. */
  onCommit: () => void
  /** Called once, when the writer holds nothing any more. */
  onEnd: () => void
}

export function createFileWriter (options: FileWriterOptions): LocalFileWriter {
  const { fs, data, place, kind, location, room, heartbeat, log, onCommit } = options
  let receiptFile: PartFile | undefined
  /** The error of later writes and commits, once the writer has ended. */
  let ended: LocalStoreError | undefined
  /** Whether the file may have its name, and be visible to others. */
  let mayBeVisible = false
  let nextCheck = CHECK_BYTES
  const inTurn = oneAtATime()

  heartbeat.add(data)

  async function removeAll (reason: LocalStoreError): Promise<void> {
    if (ended !== undefined) return
    ended = reason
    // The data file first: the sweep removes a receipt without a file, but keeps a file without a receipt.
    const failures = await data.remove()
    heartbeat.delete(data)
    if (receiptFile !== undefined) {
      failures.push(...await receiptFile.remove())
      heartbeat.delete(receiptFile)
    }
    for (const err of failures) log.warn({ err, location }, 'a file that was not stored could not be cleaned up')
    end()
  }

  function end (): void {
    room.release()
    options.onEnd()
  }

  /** Runs a step; whatever it throws, nothing of the file stays. */
  async function attempt<T> (step: () => Promise<T>): Promise<T> {
    if (ended !== undefined) throw ended
    try {
      return await step()
    } catch (cause) {
      const error = toLocalStoreError(cause, FAILED)
      error.wasVisible = mayBeVisible
      await removeAll(error)
      throw error
    }
  }

  async function write (chunk: Uint8Array): Promise<void> {
    const missing = Math.max(0, chunk.byteLength + RECEIPT_BYTES - room.bytes)
    if (missing > 0 || data.length + chunk.byteLength >= nextCheck) {
      await addRoom(missing)
      nextCheck = data.length + chunk.byteLength + CHECK_BYTES
    }
    await data.write(chunk)
    room.wrote(chunk.byteLength)
  }

  /** Reserves ahead of what is written, so that others learn in time what this file needs; only what it needs if the room is nearly used up. */
  async function addRoom (bytes: number): Promise<void> {
    const step = Math.min(Math.max(FIRST_STEP_BYTES, data.length), LAST_STEP_BYTES)
    if (bytes > 0 && step > bytes && await room.add(step).then(() => true, () => false)) return
    await room.add(bytes)
  }

  async function publish (receipt: object): Promise<void> {
    const text = Buffer.from(`${JSON.stringify(receipt)}\n`)
    const missing = text.byteLength + RECEIPT_BYTES / 2 - room.bytes
    if (missing > 0) await room.add(missing)
    await data.sync()
    receiptFile = await heartbeat.creating(place.receiptPart, () => PartFile.create(fs, place.receiptPart))
    heartbeat.add(receiptFile)
    await receiptFile.write(text)
    await receiptFile.sync()
    await receiptFile.rename(place.receipt)
    // The commit. The heartbeat has kept the part file until here, so that no sweep removed it while its receipt was written.
    mayBeVisible = true
    await data.rename(place[kind])
    await syncDirectory(fs, place.directory)
  }

  async function commit (receipt: object): Promise<string> {
    await publish(receipt)
    onCommit()
    ended = new LocalStoreError(`${FAILED}: it has been committed already`, { error_code: 'io_error' })
    for (const file of [data, receiptFile]) {
      if (file === undefined) continue
      heartbeat.delete(file)
      // All bytes were synced before; a failing close takes nothing back.
      await file.close().catch((err: unknown) => log.warn({ err, location }, 'a stored file could not be closed'))
    }
    end()
    return location
  }

  return {
    get bytesWritten () {
      return data.length
    },
    write: chunk => inTurn(() => attempt(() => write(chunk))),
    commit: receipt => inTurn(() => attempt(() => commit(receipt))),
    discard: () => inTurn(() => removeAll(new LocalStoreError(`${FAILED}: it was discarded`, { error_code: 'io_error' })))
  }
}
