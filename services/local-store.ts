import { randomUUID } from 'node:crypto'
import nodeFs from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { createDirectoryMaker, syncDirectory, type FileSystem } from './local-directory.ts'
import { LocalStoreError, errnoOf, toLocalStoreError } from './local-errors.ts'
import { createFileWriter, type LocalFileWriter } from './local-file-writer.ts'
import { createFreeSpace } from './local-free-space.ts'
import { createHeartbeat } from './local-heartbeat.ts'
import { silentLog, type LocalStoreLog } from './local-log.ts'
import { assertKey, placeOf, probeName, type LocalPlace } from './local-names.ts'
import { PartFile } from './local-part-file.ts'
import { SWEEP_DELAY_MS, sweepLeftovers } from './local-sweep.ts'

export interface LocalStoreOptions {
  /** The directory; relative to the working directory at the time of the call, created when missing. */
  dir: string
  /** Bytes of free space to keep: below it a file is `disk_full`. Default 0, no check. */
  minFreeBytes?: number
  /** Milliseconds between the two looks of the sweep. Default 5000; less than 3000 endangers other processes' files. */
  sweepDelayMs?: number
  /** Default: silence. */
  log?: LocalStoreLog
  /** Replaces functions of the file system; for faults that a real disk does not produce on demand. */
  fs?: Partial<FileSystem>
}

export interface LocalStoreStatus {
  /** Whether the directory could take a file now: it may be written, and there is room beyond `minFreeBytes`. */
  writable: boolean
  /** 0 where it cannot be measured. */
  free_bytes: number
}

/** Files in a directory, each whole and with its receipt. Methods that take a key throw TypeError on a bad one. */
export interface LocalStore {
  /** As it was given. */
  readonly dir: string
  /**
   * Creates the directory, proves that it can be written, and starts to sweep it in the background.
   * @throws LocalStoreError; the store may be used or opened again all the same
   */
  open (): Promise<void>
  /**
   * Begins a file.
   * @param info.expectedBytes size where it is known, for the check of the free space
   * @throws LocalStoreError, also for a key that is stored or being written already (`io_error`, EEXIST)
   */
  create (key: string, info?: { expectedBytes?: number }): Promise<LocalFileWriter>
  /** Never rejects; calls at the same time share one answer. */
  status (): Promise<LocalStoreStatus>
  /** `dir` joined with the key; relative where `dir` is. */
  location (key: string): string
  /**
   * The receipt as it was committed, undefined where there is none. It does not say that the file is still there.
   * @throws LocalStoreError
   */
  readReceipt (key: string): Promise<unknown>
  /**
   * Removes file and receipt, durably; what is not there is no error.
   * @throws LocalStoreError
   */
  remove (key: string): Promise<void>
  /** Ends all timers, discards the writers still open (a commit under way is waited for). The store is of no use afterwards. */
  close (): Promise<void>
}

export function createLocalStore (options: LocalStoreOptions): LocalStore {
  const { dir, minFreeBytes = 0, sweepDelayMs = SWEEP_DELAY_MS, log = silentLog } = options
  if (dir === '') throw new TypeError('dir must not be empty')
  const fs: FileSystem = { ...nodeFs, ...options.fs }
  const root = resolve(dir)
  const makeDirectory = createDirectoryMaker(fs)
  const freeSpace = createFreeSpace(fs, root, minFreeBytes)
  const heartbeat = createHeartbeat()
  const writers = new Set<LocalFileWriter>()
  const creating = new Set<Promise<unknown>>()
  const closing = new AbortController()
  let sweep: Promise<void> | undefined
  let statusNow: Promise<LocalStoreStatus> | undefined

  function assertNotClosed (): void {
    if (closing.signal.aborted) throw new LocalStoreError('The local store is closed', { error_code: 'io_error' })
  }

  async function runSweep (): Promise<void> {
    try {
      const { filesWithoutReceipt, ...removed } =
        await sweepLeftovers({ fs, root, delayMs: sweepDelayMs, signal: closing.signal, isOpenHere: heartbeat.has, log })
      if (removed.partFilesRemoved + removed.receiptsRemoved > 0) log.info(removed, 'leftovers of interrupted uploads were removed')
      if (filesWithoutReceipt > 0) log.warn({ count: filesWithoutReceipt }, 'the local store holds files without a receipt; they are left alone')
    } catch (err) {
      if (!closing.signal.aborted) log.error({ err }, 'the local store could not be searched for leftovers')
    }
  }

  async function open (): Promise<void> {
    assertNotClosed()
    const probe = join(root, probeName(randomUUID()))
    try {
      await makeDirectory(root)
      await (await fs.open(probe, 'wx', 0o600)).close()
      await fs.unlink(probe)
    } catch (cause) {
      throw toLocalStoreError(cause, 'The local directory cannot be used')
    }
    if (!closing.signal.aborted) sweep ??= runSweep()
  }

  async function begin (key: string, expectedBytes: number): Promise<LocalFileWriter> {
    const place = placeOf(root, key)
    let data: PartFile
    try {
      assertNotClosed()
      await makeDirectory(place.directory) // each time: somebody may have tidied up
      await freeSpace.demand(expectedBytes)
      await assertNotStored(place)
      data = await PartFile.create(fs, place.dataPart)
    } catch (cause) {
      throw toLocalStoreError(cause, 'The file could not be stored locally')
    }
    const writer = createFileWriter({ fs, data, place, location: location(key), freeSpace, heartbeat, log, onEnd: () => writers.delete(writer) })
    writers.add(writer)
    // Here at the latest, since a store whose first `open` failed has not been swept yet.
    if (!closing.signal.aborted) sweep ??= runSweep()
    return writer
  }

  /** The rename of a commit would replace the file without a word. */
  async function assertNotStored (place: LocalPlace): Promise<void> {
    const there = await fs.lstat(place.data).then(() => true, () => false)
    if (there) throw Object.assign(new Error('the key is stored already'), { code: 'EEXIST', syscall: 'open' })
  }

  async function create (key: string, info: { expectedBytes?: number } = {}): Promise<LocalFileWriter> {
    const beginning = begin(key, info.expectedBytes ?? 0)
    const settled = beginning.catch(() => {}).finally(() => creating.delete(settled))
    creating.add(settled)
    return await beginning
  }

  async function reach (): Promise<void> {
    try {
      await fs.access(`${root}/.`, fs.constants.W_OK | fs.constants.X_OK)
    } catch (error) {
      // The next file would make a missing directory again. But none may come while the store is reported as unusable.
      if (errnoOf(error) !== 'ENOENT') throw error
      await makeDirectory(root)
    }
  }

  async function measureStatus (): Promise<LocalStoreStatus> {
    const accessible = await reach().then(() => true, () => false)
    const free = await freeSpace.measure().catch(() => undefined)
    const room = free === undefined || (free > 0 && free >= minFreeBytes)
    return { writable: accessible && room, free_bytes: free ?? 0 }
  }

  function status (): Promise<LocalStoreStatus> {
    // Shared, so that probes of a hanging disk do not pile up in the thread pool.
    statusNow ??= measureStatus().finally(() => { statusNow = undefined })
    return statusNow
  }

  function location (key: string): string {
    assertKey(key)
    return join(dir, key)
  }

  async function readReceipt (key: string): Promise<unknown> {
    const { receipt } = placeOf(root, key)
    try {
      return JSON.parse(await fs.readFile(receipt, 'utf8'))
    } catch (cause) {
      if (errnoOf(cause) === 'ENOENT') return undefined
      throw toLocalStoreError(cause, 'The receipt could not be read from local storage')
    }
  }

  async function remove (key: string): Promise<void> {
    const { directory, data, receipt } = placeOf(root, key)
    try {
      // The file first: should this end halfway, the sweep takes the receipt, while a file without one would stay.
      const removed = [await unlinkIfThere(data), await unlinkIfThere(receipt)]
      if (removed.includes(true)) await syncDirectory(fs, directory)
    } catch (cause) {
      throw toLocalStoreError(cause, 'The file could not be removed from local storage')
    }
  }

  async function unlinkIfThere (path: string): Promise<boolean> {
    try {
      await fs.unlink(path)
      return true
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return false
      throw error
    }
  }

  async function close (): Promise<void> {
    closing.abort()
    await Promise.all(creating)
    await Promise.all(Array.from(writers, writer => writer.discard()))
    await sweep
  }

  return { dir, open, create, status, location, readReceipt, remove, close }
}
