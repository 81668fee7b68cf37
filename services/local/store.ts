import { setMaxListeners } from 'node:events'
import nodeFs from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { boundedFileSystem, type DiskDeadlines } from '../disk/bounded-file-system.ts'
import { DiskSlots, type DiskUse } from '../disk/slots.ts'
import { createBucketMarker, type Destination } from './bucket.ts'
import { CLAIM_DELAY_MS, createClaims, type Claim } from './waiting/claims.ts'
import { assertFree, createDirectoryMaker, syncDirectory, unlinkIfThere, type FileSystem } from '../disk/file-system.ts'
import { LocalStoreError, toLocalStoreError } from './errors.ts'
import { createFileWriter, RECEIPT_BYTES, type LocalFileWriter } from './writing/file-writer.ts'
import { createFreeSpace, type Reservation } from './writing/free-space.ts'
import { createHeartbeat } from './writing/heartbeat.ts'
import { silentLog, type Log, type UploadContext } from '../log.ts'
import { assertKey, placeOf, temporaryName } from './names.ts'
import { PartFile } from '../disk/part-file.ts'
import { createOwners } from './owners/owners.ts'
import { createPending, type Pending, type PendingFile } from './waiting/pending.ts'
import { openDataFile, type OpenFile } from './reader.ts'
import { createReceipts, type FoundFile } from './receipts.ts'
import { createStatus, type LocalStoreStatus } from './status.ts'
import { survey, type Survey } from './waiting/survey.ts'
import { SWEEP_DELAY_MS, sweepLeftovers, sweepUndecided, type RemovedLeftovers } from './owners/sweep.ts'
import { Tally, type Waiting } from './waiting/tally.ts'
import type { Receipt } from '../receipt.ts'

/** Twice the usual time for which a client may be silent, and a minute. */
const DEFAULT_PATIENCE_MS = 120_000

export interface LocalStoreOptions {
  /** The directory; relative to the working directory at the time of the call, created when missing. */
  dir: string
  /** Bytes of free space to keep: below it a file is `disk_full`. Default 0, no check. */
  minFreeBytes?: number | undefined
  /** Milliseconds between the two looks of the sweep. Default 5000; less than 3000 endangers other processes' files. */
  sweepDelayMs?: number
  /**
   * Milliseconds for which this process may stand still and go on with its uploads, for those that can't ask it whether it lives:
   * on other machines, in other containers. Default 120,000.
   */
  patienceMs?: number
  /** Milliseconds for which a claim must look the same before it is taken over. Default 5000; less than 3000 endangers living claims. */
  claimDelayMs?: number
  /** Files to be promoted that are remembered at once; for more of them the directory is read again. Default 8,000. */
  batchFiles?: number
  /** Default: silence. */
  log?: Log
  /** Bounds the operations under way; one for all stores of a process, as its threads are. Default: one for four threads. */
  slots?: DiskSlots
  /** After which operations on the disk count as hanging. */
  deadlines?: DiskDeadlines
  /** Replaces functions of the file system; for faults that a real disk does not produce on demand. */
  fs?: Partial<FileSystem>
}

/** So that a start on a disk that hangs takes less than the ten seconds in which Fastify's plugins must be ready. */
const OPEN_MS = 5_000

/** Each of the two operations that tell the status: `/ready` answers within two seconds. */
const STATUS_MS = 800

export type { Claim, FoundFile, LocalStoreStatus, OpenFile, PendingFile, Waiting }

/** Files in a directory, each whole and with its receipt. Methods that take a key throw TypeError on a bad one. */
export interface LocalStore {
  /** As it was given. */
  readonly dir: string
  /** For what else is kept in the directory: its operations have deadlines, too. */
  readonly fs: FileSystem
  /** True while an operation on the disk is overdue. */
  readonly isHanging: boolean
  /**
   * Creates the directory, proves that it can be written, and starts to sweep it in the background; a full disk is swept,
   * too, as that makes room.
   * @throws LocalStoreError; the store may be used or opened again all the same
   */
  open (): Promise<void>
  /**
   * Begins a file.
   * @param info.expectedBytes size where it is known, for the check of the free space
   * @param info.log gets what is to be said of this file; default: the store's own
   * @throws LocalStoreError, also for a key that is stored or being written already (`io_error`, EEXIST)
   */
  create (key: string, info?: { expectedBytes?: number | undefined, log?: Log }): Promise<LocalFileWriter>
  /** Never rejects; calls at the same time share one answer. */
  status (): Promise<LocalStoreStatus>
  /** `dir` joined with the key; relative where `dir` is. */
  location (key: string): string
  /**
   * Removes file and receipt, durably; what is not there is no error.
   * @throws LocalStoreError
   */
  remove (key: string): Promise<void>
  /**
   * Removes the file alone, durably: its receipt is for {@link remove}. True: another process may be promoting it without a claim, as
   * there was no room for one.
   * @throws LocalStoreError
   */
  removeFile (key: string): Promise<boolean>
  /**
   * What is to be promoted, oldest first: whole files with their receipts, and receipts kept for objects in B2. Receipts
   * that cannot be read count as set aside, those of whole files from the first `find` on. Foreign files, files without a
   * receipt and directories whose names begin with a dot are left out, and what comes after it has begun.
   * @throws LocalStoreError where the directory cannot be read
   */
  pending: Pending['files']
  /** Counts what is to be promoted. @throws LocalStoreError where the directory cannot be read */
  count: Pending['count']
  /** Measures what is to be promoted, which takes longer, but is no hurry. Does nothing if that was done lately. Never rejects. */
  measure (): Promise<void>
  /** What is to be promoted, as of the last count and measurement, and of what this process has done since. */
  waiting (): Waiting
  /** Whether there is a receipt of this key, for a quick look. @throws LocalStoreError */
  has (key: string): Promise<boolean>
  /** Says that a file that came from {@link pending} is here no more. */
  markGone (key: string): void
  /**
   * The receipt of a file that is whole here, or one that was kept for an object in B2; undefined where there is neither.
   * @throws LocalStoreError, also for a receipt that is damaged (`io_error`): its file is here all the same
   */
  find (key: string): Promise<FoundFile | undefined>
  /**
   * Opens the data file, whatever its receipt says. Undefined: it is not there.
   * @throws LocalStoreError
   */
  openFile (key: string): Promise<OpenFile | undefined>
  /**
   * Keeps the receipt of an object in B2, durably, until it can be stored beside it.
   * @param context of the upload; its log gets what is to be said of it, by default the store's own
   * @throws LocalStoreError; nothing is left then. Also for a key that is stored or kept already (`io_error`, EEXIST)
   */
  keepReceipt (key: string, receipt: Receipt, context?: UploadContext): Promise<void>
  /**
   * Notes durably that the file must not be promoted, for all processes on the directory; a later reason takes the place of
   * an earlier one. Does nothing where there is no receipt (any more).
   * @throws LocalStoreError; no half note is left then
   */
  setAside (key: string, reason: string): Promise<void>
  /**
   * Takes the note back; without one it does nothing.
   * @throws LocalStoreError
   */
  takeUp (key: string): Promise<void>
  /**
   * Claims a key for one owner among all processes on the directory. Undefined: somebody else has it, or there is no such
   * directory. Answers at once if nobody else or this process has it; within about a second if the owner lives; and after
   * `claimDelayMs` if it died, by taking over. One that can't be asked, as it is elsewhere, is given time from call to call. A claim says nothing of the file: ask `find` afterwards.
   *
   * At most one owner, except if a process that can't be asked stands still for minutes and goes on, or if the
   * disk is too full for the claim itself (then files must still leave it). Two owners then upload the same bytes under the
   * same key. Each verifies what is there before it removes the file here, and removes nothing of the other's from B2: it
   * costs traffic, no file.
   * @param stop ends the waiting for another owner: undefined
   * @param waits false: it does not find out whether another owner lives, but answers at once. Default true
   * @throws LocalStoreError
   */
  claim (key: string, stop?: AbortSignal, waits?: boolean): Promise<Claim | undefined>
  /**
   * Whether there is a claim of another process, which may be dead: {@link claim} tells.
   * @throws LocalStoreError
   */
  isClaimedElsewhere (key: string): Promise<boolean>
  /**
   * Whether the directory is marked as that of this bucket. False: it is not marked.
   * @throws WrongBucketError; LocalStoreError where the disk fails
   */
  assertBucket (destination: Destination): Promise<boolean>
  /**
   * The same, and marks it if it is not marked. False: that is not possible yet, as there is no room or no such directory.
   * @throws WrongBucketError; LocalStoreError where the disk fails
   */
  claimForBucket (destination: Destination): Promise<boolean>
  /** Ends all timers, discards the writers still open (a commit under way is waited for). The store is of no use afterwards. */
  close (): Promise<void>
}

/** How much longer it is not measured again than it took: on the whole it costs next to nothing. */
const REST_RATIO = 50

export function createLocalStore (options: LocalStoreOptions): LocalStore {
  const { dir, minFreeBytes = 0, sweepDelayMs = SWEEP_DELAY_MS, claimDelayMs = CLAIM_DELAY_MS, patienceMs = DEFAULT_PATIENCE_MS, log = silentLog, slots = new DiskSlots() } = options
  if (dir === '') throw new TypeError('dir must not be empty')
  const node: FileSystem = { ...nodeFs, ...options.fs }
  const fsFor = (use: DiskUse, deadlines = options.deadlines): FileSystem => boundedFileSystem({ fs: node, slots, use, ...deadlines })
  const [fs, reading, upkeep] = [fsFor('write'), fsFor('read'), fsFor('upkeep')]
  const asking = fsFor('status', { operationMs: STATUS_MS, longMs: STATUS_MS })
  const openMs = Math.min(OPEN_MS, options.deadlines?.operationMs ?? OPEN_MS)
  const opening = fsFor('upkeep', { operationMs: openMs, longMs: openMs })
  const root = resolve(dir)
  const makeDirectory = createDirectoryMaker(fs)
  const freeSpace = createFreeSpace(fs, root, minFreeBytes)
  const owners = createOwners({ fs: upkeep, root, patienceMs, isOurs: path => heartbeat.has(path), log })
  const heartbeat = createHeartbeat(owners)
  const writers = new Set<LocalFileWriter>()
  const working = new Set<Promise<unknown>>()
  const closing = new AbortController()
  setMaxListeners(0, closing.signal) // each claim that is waited for listens, and they may be many
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
  const pending = createPending({ fs: upkeep, root, receipts, tally, log, batchFiles: options.batchFiles })
  const claims = createClaims({ fs: upkeep, root, heartbeat, owners, delayMs: claimDelayMs, signal: closing.signal, log })
  const marker = createBucketMarker({ fs: opening, root, dir })
  let sweep: Promise<void> | undefined

  function assertNotClosed (): void {
    if (closing.signal.aborted) throw new LocalStoreError('The local store is closed', { error_code: 'io_error' })
  }

  /** Keys whose files were removed alone: they don't wait any more. */
  const onlyReceipts = new Set<string>()
  let surveying: Promise<Survey> | undefined
  let nextMeasurement = 0

  async function look (): Promise<Survey> {
    const began = performance.now()
    try {
      return await survey({ fs: upkeep, root, tally, signal: closing.signal })
    } finally {
      const now = performance.now()
      nextMeasurement = now + REST_RATIO * (now - began)
      surveying = undefined
    }
  }

  async function measure (): Promise<void> {
    if (closing.signal.aborted || (surveying === undefined && performance.now() < nextMeasurement)) return
    try {
      await (surveying ??= look())
    } catch (err) {
      if (!closing.signal.aborted) log.error({ err }, 'the size of what waits in the local store could not be measured')
    }
  }

  async function runSweep (): Promise<void> {
    try {
      const sweeping = { fs: upkeep, root, delayMs: sweepDelayMs, signal: closing.signal, isOpenHere: heartbeat.has, owners, survey: async () => await (surveying ??= look()), log }
      const { undecided, filesWithoutReceipt, ...removed } = await sweepLeftovers(sweeping)
      tellRemoved(removed)
      if (filesWithoutReceipt > 0) log.warn({ count: filesWithoutReceipt }, 'the local store holds files without a receipt; they are left alone')
      tellRemoved(await sweepUndecided(sweeping, undecided))
    } catch (err) {
      if (!closing.signal.aborted) log.error({ err }, 'the local store could not be searched for leftovers')
    }
  }

  function tellRemoved (removed: RemovedLeftovers): void {
    if (removed.partFilesRemoved + removed.receiptsRemoved > 0) log.info(removed, 'leftovers of interrupted uploads were removed')
  }

  async function open (): Promise<void> {
    assertNotClosed()
    const probe = join(root, temporaryName('probe'))
    try {
      await createDirectoryMaker(opening)(root)
      await (await opening.open(probe, 'wx', 0o600)).close()
      await opening.unlink(probe)
      beginSweep()
    } catch (cause) {
      const error = toLocalStoreError(cause, 'The local directory cannot be used')
      if (error.error_code === 'disk_full') beginSweep()
      throw error
    }
  }

  function beginSweep (): void {
    if (!closing.signal.aborted) sweep ??= runSweep()
  }

  async function begin (key: string, { expectedBytes = 0, log: ownLog = log }: { expectedBytes?: number | undefined, log?: Log } = {}): Promise<LocalFileWriter> {
    const place = placeOf(root, key)
    let room: Reservation | undefined
    let data: PartFile
    try {
      assertNotClosed()
      await makeDirectory(place.directory) // each time: somebody may have tidied up
      room = await freeSpace.reserve(expectedBytes + RECEIPT_BYTES)
      await assertFree(fs, place.data)
      data = await heartbeat.creating(place.dataPart, () => PartFile.create(fs, place.dataPart))
    } catch (cause) {
      room?.release()
      throw toLocalStoreError(cause, 'The file could not be stored locally')
    }
    const writer = createFileWriter({
      fs,
      data,
      place,
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
    // Here at the latest, since a store whose first `open` failed has not been swept yet.
    beginSweep()
    return writer
  }

  /** Work that `close` waits for; none begins after it. */
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

  async function sizeOf (path: string): Promise<number> {
    return await fs.lstat(path).then(({ size }) => size, () => 0)
  }

  async function removeFile (key: string): Promise<boolean> {
    const { directory, data } = placeOf(root, key)
    try {
      const bytes = await sizeOf(data)
      if (await unlinkIfThere(fs, data)) {
        tally.remove(key, bytes)
        onlyReceipts.add(key)
        await syncDirectory(fs, directory)
      }
    } catch (cause) {
      throw toLocalStoreError(cause, 'The file could not be removed from local storage')
    }
    return await claims.mayBeUnclaimed(key)
  }

  async function remove (key: string): Promise<void> {
    const { directory, data, receipt, note } = placeOf(root, key)
    try {
      const bytes = await sizeOf(data)
      // The file first: should this end halfway, the sweep takes the rest, while a file without a receipt would stay.
      const hadData = await unlinkIfThere(fs, data)
      const hadReceipt = await unlinkIfThere(fs, receipt)
      if (hadReceipt && !onlyReceipts.delete(key)) tally.remove(key, bytes)
      if (await unlinkIfThere(fs, note) || hadData || hadReceipt) await syncDirectory(fs, directory)
    } catch (cause) {
      throw toLocalStoreError(cause, 'The file could not be removed from local storage')
    }
  }

  async function close (): Promise<void> {
    closing.abort()
    await Promise.all(working)
    await Promise.all(Array.from(writers, writer => writer.discard()))
    await claims.close()
    await sweep
    await surveying?.catch(() => {})
    await owners.close()
  }

  return {
    dir,
    fs: upkeep,
    get isHanging () { return slots.overdue > 0 },
    open,
    create: async (key, info) => await work(() => begin(key, info)),
    status,
    location,
    remove,
    removeFile,
    pending: pending.files,
    count: async stop => await work(() => pending.count(stop)),
    measure,
    waiting: () => tally.waiting,
    markGone: key => tally.markGone(key),
    find: receipts.find,
    has: receipts.has,
    openFile: async key => await openDataFile(reading, placeOf(root, key).data),
    keepReceipt: async (key, receipt, context) => await work(async () => {
      tally.expect(key)
      try {
        await receipts.keep(key, receipt, context)
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
