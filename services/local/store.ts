import { setMaxListeners } from 'node:events'
import nodeFs from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { boundedFileSystem, type DiskDeadlines } from '../disk/bounded-file-system.ts'
import { DiskSlots, type DiskUse } from '../disk/slots.ts'
import { createBucketMarker, type BucketMarker } from './bucket.ts'
import { CLAIM_DELAY_MS, createClaims, type Claim, type Claims } from './waiting/claims.ts'
import { assertFree, createDirectoryMaker, syncDirectory, unlinkIfThere, type FileSystem } from '../disk/file-system.ts'
import { LocalStoreError, toLocalStoreError } from './errors.ts'
import { createFileWriter, RECEIPT_BYTES, type LocalFileWriter } from './writing/file-writer.ts'
import { createFreeSpace, type Reservation } from './writing/free-space.ts'
import { createHeartbeat } from './writing/heartbeat.ts'
import { silentLog, type Log } from '../log.ts'
import { assertKey, placeOf, temporaryName, type LocalPlace } from './names.ts'
import { PartFile } from '../disk/part-file.ts'
import { createOwners } from './owners/owners.ts'
import { createPending, type Pending, type PendingFile } from './waiting/pending.ts'
import { openDataFile, type OpenFile } from './reader.ts'
import { createReceipts, type FoundFile, type Receipts } from './receipts.ts'
import { createStatus, type LocalStoreStatus } from './status.ts'
import { SWEEP_DELAY_MS } from './owners/sweep.ts'
import { createUpkeep, type Upkeep } from './upkeep.ts'
import { Tally, type Waiting } from './waiting/tally.ts'

/** Twice the usual time for which a client may be silent, and a minute. */
const DEFAULT_PATIENCE_MS = 120_000

export interface LocalStoreOptions {
  /** The directory; relative to the working directory at the time of the call, created if it is missing. */
  dir: string
  /** Bytes of free space to keep: below that a file is `disk_full`. Default 0: no check. */
  minFreeBytes?: number | undefined
  /** Milliseconds between the two checks of the sweep. Default 5000; less than 3000 endangers other processes' files. */
  sweepDelayMs?: number
  /**
   * Milliseconds for which this process may stand still and then continue its uploads. It tells this to processes on other machines
   * or in other containers, which can't ask it whether it lives. Default 120,000.
   */
  patienceMs?: number
  /** Milliseconds for which a claim must look the same before it is taken over. Default 5000; less than 3000 endangers living claims. */
  claimDelayMs?: number
  /** Files to be promoted that are remembered at once; for more, the directory is read again. Default 8,000. */
  batchFiles?: number
  /** Default: silence. */
  log?: Log
  /** Bounds the operations under way. All stores of a process share it, as they share its threads. Default: one for four threads. */
  slots?: DiskSlots
  /** How long operations on the disk may take. */
  deadlines?: DiskDeadlines
  /** Replaces functions of the file system; for faults in tests. */
  fs?: Partial<FileSystem>
}

/** What is known of a file when it begins. */
export interface NewFile {
  readonly kind?: 'data' | 'rest'
  readonly expectedBytes?: number | undefined
  readonly log?: Log
}

/** A start on a disk that hangs must take less than the ten seconds in which Fastify's plugins must be ready. */
const OPEN_MS = 5_000

/** For each of the two operations that tell the status, as `/ready` answers within two seconds. */
const STATUS_MS = 800

export type { Claim, FoundFile, LocalStoreStatus, OpenFile, PendingFile, Waiting }

/** Files in a directory, each whole and with its receipt. Methods that take a key throw TypeError on a bad one. */
export interface LocalStore extends BucketMarker, Pick<Receipts, 'find' | 'has' | 'keepReceipt' | 'setAside' | 'takeUp'>, Pick<Claims, 'claim' | 'isClaimedElsewhere'> {
  /** As it was given. */
  readonly dir: string
  /** The file system for other files in the directory: its operations have deadlines as well. */
  readonly fs: FileSystem
  /** The same for what clients wait for. */
  readonly writing: FileSystem
  readonly reading: FileSystem
  /** Reserves room on the disk. @throws LocalStoreError `disk_full` */
  reserve (bytes: number): Promise<Reservation>
  /** True while an operation on the disk is overdue. */
  readonly isHanging: boolean
  /**
   * Creates the directory, proves that it can be written, and begins to sweep it in the background; also if the disk is full, as
   * that makes room.
   * @throws LocalStoreError; the store may be used or opened again nevertheless
   */
  open (): Promise<void>
  /**
   * Begins a file.
   * @param info.kind `rest` for what B2 lacks of a split file; default `data`, a whole file
   * @param info.expectedBytes size if it is known, to check the free space
   * @param info.log log for this file; default: the store's own
   * @throws LocalStoreError, also for a key that is stored or being written already (`io_error`, EEXIST)
   */
  create (key: string, info?: NewFile): Promise<LocalFileWriter>
  /** Never rejects; calls at the same time share one answer. */
  status (): Promise<LocalStoreStatus>
  /** `dir` joined with the key; relative if `dir` is. */
  location (key: string): string
  /** Removes file and receipt durably; missing ones are not an error. @throws LocalStoreError */
  remove (key: string): Promise<void>
  /**
   * Removes the file alone, durably; {@link remove} removes its receipt. True: another process may be promoting it without a claim,
   * as there was no room for one.
   * @throws LocalStoreError
   */
  removeFile (key: string): Promise<boolean>
  /**
   * What is to be promoted, oldest first: whole files with their receipts, and receipts kept for objects in B2. Receipts
   * that cannot be read count as set aside, those of whole files from the first `find` on. It omits foreign files, files without
   * a receipt, directories whose names begin with a dot, and what comes after it has begun.
   * @throws LocalStoreError if the directory cannot be read
   */
  pending: Pending['files']
  /** Counts what is to be promoted. @throws LocalStoreError if the directory cannot be read */
  count: Pending['count']
  measure: Upkeep['measure']
  /** What is to be promoted, according to the last count and measurement, and to what this process has done since. */
  waiting (): Waiting
  /** Whether this process is storing a file of this key. */
  isComing (key: string): boolean
  /** Says that a file that came from {@link pending} is not here any more. */
  markGone (key: string): void
  /** Opens the data file, or what B2 lacks of a split one, whatever its receipt says. Undefined if it is not there. @throws LocalStoreError */
  openFile (key: string, kind?: 'data' | 'rest'): Promise<OpenFile | undefined>
  /** Stops all timers and discards the open writers, but waits for a commit under way. The store can't be used afterwards. */
  close (): Promise<void>
}

export function createLocalStore (options: LocalStoreOptions): LocalStore {
  const { dir, minFreeBytes = 0, sweepDelayMs = SWEEP_DELAY_MS, claimDelayMs = CLAIM_DELAY_MS, patienceMs = DEFAULT_PATIENCE_MS, log = silentLog, slots = new DiskSlots() } = options
  if (dir === '') throw new TypeError('dir must not be empty')
  const node: FileSystem = { ...nodeFs, ...options.fs }
  const fsFor = (use: DiskUse, deadlines = options.deadlines): FileSystem => boundedFileSystem({ fs: node, slots, use, ...deadlines })
  const [fs, reading, tending] = [fsFor('write'), fsFor('read'), fsFor('upkeep')]
  const asking = fsFor('status', { operationMs: STATUS_MS, longMs: STATUS_MS })
  const openMs = Math.min(OPEN_MS, options.deadlines?.operationMs ?? OPEN_MS)
  const opening = fsFor('upkeep', { operationMs: openMs, longMs: openMs })
  const root = resolve(dir)
  const makeDirectory = createDirectoryMaker(fs)
  const freeSpace = createFreeSpace(fs, root, minFreeBytes)
  const owners = createOwners({ fs: tending, root, patienceMs, isOurs: path => heartbeat.has(path), log })
  const heartbeat = createHeartbeat(owners)
  const writers = new Set<LocalFileWriter>()
  const working = new Set<Promise<unknown>>()
  const closing = new AbortController()
  setMaxListeners(0, closing.signal) // each waiting claim listens, and there may be many
  const status = createStatus({
    fs: asking,
    root,
    minFreeBytes,
    freeSpace: createFreeSpace(asking, root, minFreeBytes),
    makeDirectory: createDirectoryMaker(asking),
    isHanging: () => slots.overdue > 0,
  })
  const receipts = createReceipts({ fs, reading, root, heartbeat, makeDirectory, log })
  const tally = new Tally()
  const pending = createPending({ fs: tending, root, receipts, tally, log, batchFiles: options.batchFiles })
  const claims = createClaims({ fs: tending, root, heartbeat, owners, delayMs: claimDelayMs, signal: closing.signal, log })
  const marker = createBucketMarker({ fs: opening, root, dir })
  const upkeep = createUpkeep({ fs: tending, root, tally, delayMs: sweepDelayMs, signal: closing.signal, isOpenHere: heartbeat.has, owners, log })

  function assertNotClosed (): void {
    if (closing.signal.aborted) throw new LocalStoreError('The local store is closed', { error_code: 'io_error' })
  }

  /** Keys whose files were removed without their receipts: they don't wait any more. */
  const onlyReceipts = new Set<string>()
  async function open (): Promise<void> {
    assertNotClosed()
    const probe = join(root, temporaryName('probe'))
    try {
      await createDirectoryMaker(opening)(root)
      await (await opening.open(probe, 'wx', 0o600)).close()
      await opening.unlink(probe)
      upkeep.sweep()
    } catch (cause) {
      const error = toLocalStoreError(cause, 'The local directory cannot be used')
      if (error.error_code === 'disk_full') upkeep.sweep()
      throw error
    }
  }

  async function begin (key: string, { kind = 'data', expectedBytes = 0, log: ownLog = log }: NewFile = {}): Promise<LocalFileWriter> {
    const place = placeOf(root, key)
    let room: Reservation | undefined
    let data: PartFile
    try {
      assertNotClosed()
      await makeDirectory(place.directory) // each time: the directory may have been removed
      room = await freeSpace.reserve(expectedBytes + RECEIPT_BYTES)
      await assertFree(fs, place[kind])
      data = await heartbeat.creating(place.dataPart, () => PartFile.create(fs, place.dataPart))
    } catch (cause) {
      room?.release()
      throw toLocalStoreError(cause, 'The file could not be stored locally')
    }
    const writer = createFileWriter({
      fs,
      data,
      place,
      kind,
      location: location(key),
      room,
      heartbeat,
      log: ownLog,
      onCommit: () => tally.add(key, data.length),
      onEnd () {
        tally.expectNoMore(key)
        writers.delete(writer)
      },
    })
    tally.expect(key)
    writers.add(writer)
    // If the first `open` failed, the directory has not been swept yet.
    upkeep.sweep()
    return writer
  }

  /** Runs work that `close` waits for; none begins after `close`. */
  async function work<T> (task: () => Promise<T>): Promise<T> {
    assertNotClosed()
    const run = task()
    const settled = run.catch(() => {}).finally(() => working.delete(settled))
    working.add(settled)
    return await run
  }

  function location (key: string): string {
    assertKey(key)
    return join(dir, key)
  }

  /** Removes the file, or the rest of a split one. Returns its bytes; undefined if there is none. */
  async function unlinkFile ({ data, rest }: LocalPlace): Promise<number | undefined> {
    for (const path of [data, rest]) {
      const bytes = await fs.lstat(path).then(({ size }) => size, () => 0)
      if (await unlinkIfThere(fs, path)) return bytes
    }
    return undefined
  }

  async function removeFile (key: string): Promise<boolean> {
    const place = placeOf(root, key)
    try {
      const bytes = await unlinkFile(place)
      if (bytes !== undefined) {
        tally.remove(key, bytes)
        onlyReceipts.add(key)
        await syncDirectory(fs, place.directory)
      }
    } catch (cause) {
      throw toLocalStoreError(cause, 'The file could not be removed from local storage')
    }
    return await claims.mayBeUnclaimed(key)
  }

  async function remove (key: string): Promise<void> {
    const place = placeOf(root, key)
    try {
      // The file first: if this ends halfway, the sweep removes what is left, while it would keep a file without a receipt.
      const bytes = await unlinkFile(place)
      const hadReceipt = await unlinkIfThere(fs, place.receipt)
      if (hadReceipt && !onlyReceipts.delete(key)) tally.remove(key, bytes ?? 0)
      if (await unlinkIfThere(fs, place.note) || bytes !== undefined || hadReceipt) await syncDirectory(fs, place.directory)
    } catch (cause) {
      throw toLocalStoreError(cause, 'The file could not be removed from local storage')
    }
  }

  async function close (): Promise<void> {
    closing.abort()
    await Promise.all(working)
    await Promise.all(Array.from(writers, writer => writer.discard()))
    await claims.close()
    await upkeep.ended()
    await owners.close()
  }

  return {
    dir,
    fs: tending,
    writing: fs,
    reading,
    reserve: freeSpace.reserve,
    get isHanging () { return slots.overdue > 0 },
    open,
    create: async (key, info) => await work(() => begin(key, info)),
    status,
    location,
    remove,
    removeFile,
    pending: pending.files,
    count: async stop => await work(() => pending.count(stop)),
    measure: upkeep.measure,
    waiting: () => tally.waiting,
    isComing: key => tally.isComing(key),
    markGone: key => tally.markGone(key),
    find: receipts.find,
    has: receipts.has,
    openFile: async (key, kind = 'data') => await openDataFile(reading, placeOf(root, key)[kind]),
    keepReceipt: async (key, receipt, context) => await work(async () => {
      tally.expect(key)
      try {
        await receipts.keepReceipt(key, receipt, context)
        tally.add(key, 0)
      } finally {
        tally.expectNoMore(key)
      }
    }),
    setAside: async (key, reason) => await work(() => receipts.setAside(key, reason)),
    takeUp: async key => await work(() => receipts.takeUp(key)),
    claim: async (key, stop, waits) => await work(() => claims.claim(key, stop, waits)),
    isClaimedElsewhere: async key => await work(() => claims.isClaimedElsewhere(key)),
    assertBucket: async destination => await work(() => marker.assertBucket(destination)),
    claimForBucket: async destination => await work(() => marker.claimForBucket(destination)),
    close
  }
}
