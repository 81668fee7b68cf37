import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { exists, stampOf, type FileSystem } from '../../disk/file-system.ts'
import { errnoOf } from '../../disk/errors.ts'
import { isUnchanged, judgeLiveFiles, type JudgeOptions, type LiveFiles, type Seen } from './live-files.ts'
import { kindOf, placeIn } from '../names.ts'
import type { SeenOfFile, Survey } from '../waiting/survey.ts'
import { filesBelow } from '../walk.ts'

/**
 * Time between the two checks. Longer than several heartbeats of a living owner, and than the 3 s for which an NFS client may
 * answer a stat out of its cache (acregmin).
 */
export const SWEEP_DELAY_MS = 5_000

export interface SweepOptions extends JudgeOptions {
  /** Absolute path. */
  root: string
  /** Stops the sweep: it rejects with the signal's reason. */
  signal: AbortSignal
  /** Finds receipts and notes without their file. */
  survey: () => Promise<Survey>
}

export interface RemovedLeftovers {
  /** Claims included. */
  partFilesRemoved: number
  receiptsRemoved: number
}

export interface SweepReport extends RemovedLeftovers {
  /** Whole files without a receipt. They stay: each may be the only copy. */
  filesWithoutReceipt: number
  /** What {@link sweepUndecided} has to check again. */
  undecided: Undecided
}

export interface Undecided extends LoneFiles {
  live: LiveFiles
}

type LoneFiles = Pick<Survey, 'receipts' | 'notes'>

/** Removes what killed processes left behind, after two checks. Files with other names are never touched. */
export async function sweepLeftovers (options: SweepOptions): Promise<SweepReport> {
  const { delayMs, signal } = options
  const files = await findLive(options)
  // It takes long if there are many files. Until it is awaited, its failure must not be unhandled.
  const surveying = options.survey().then(found => ({ found, at: performance.now() }))
  surveying.catch(() => {})
  let surplusDataFiles = 0
  const removed = await sweepAgain(options, { files, looks: 1 }, async () => {
    const { found, at } = await surveying
    await sleep(at + delayMs - performance.now(), undefined, { signal, ref: false })
    surplusDataFiles = found.surplusDataFiles
    return found
  })
  return { ...removed, filesWithoutReceipt: surplusDataFiles > 0 ? await countWithoutReceipt(options) : 0 }
}

/** Checks until each live file is known to have an owner or none: until a paused process continues, or for minutes. */
export async function sweepUndecided (options: SweepOptions, left: Undecided): Promise<RemovedLeftovers> {
  const total = { partFilesRemoved: 0, receiptsRemoved: 0 }
  for (let undecided = left; isAnything(undecided.live);) {
    const { live } = undecided
    const removed = await sweepAgain(options, live, async () => undecided)
    total.partFilesRemoved += removed.partFilesRemoved
    total.receiptsRemoved += removed.receiptsRemoved
    undecided = removed.undecided
  }
  return total
}

/** @param loneFiles as they looked at least `delayMs` ago */
async function sweepAgain (options: SweepOptions, live: LiveFiles, loneFiles: () => Promise<LoneFiles>): Promise<RemovedLeftovers & { undecided: Undecided }> {
  const { fs, delayMs, signal, log } = options
  await sleep(delayMs, undefined, { signal, ref: false })
  const { abandoned, undecided } = await judgeLiveFiles(options, live)

  /** Removes the files that pass the test; what cannot be tested or removed stays, and is logged. */
  async function removeWhere<T extends Seen> (files: readonly T[], test: (file: T) => Promise<boolean>): Promise<number> {
    let removed = 0
    for (const file of files) {
      signal.throwIfAborted()
      try {
        if (!await test(file)) continue
        await fs.unlink(file.path)
        removed++
      } catch (err) {
        if (errnoOf(err) !== 'ENOENT') log.warn({ err }, 'a leftover in the local store could not be removed')
      }
    }
    return removed
  }

  const partFilesRemoved = await removeWhere(abandoned, file => isUnchanged(fs, file))
  // After the part files: the test for receipts relies on the stale ones being gone. Notes go with their receipts.
  const { receipts, notes } = await loneFiles()
  const receiptsRemoved = await removeWhere(receipts, file => isAbandonedReceipt(fs, file))
  await removeWhere(notes, file => isAbandonedNote(fs, file))
  return { partFilesRemoved, receiptsRemoved, undecided: { live: undecided, ...ofPartFiles(undecided.files) } }

  /** The receipts and notes of these part files. */
  function ofPartFiles (files: readonly Seen[]): LoneFiles {
    const paths = new Set(files.map(({ path }) => path))
    const isTheirs = ({ place }: SeenOfFile): boolean => paths.has(place.dataPart)
    return { receipts: receipts.filter(isTheirs), notes: notes.filter(isTheirs) }
  }
}

function isAnything ({ files, owners = [] }: LiveFiles): boolean {
  return files.length > 0 || owners.length > 0
}

/**
 * A receipt is abandoned if its file is not there and cannot come any more, and the receipt did not change between the checks. A
 * commit renames first the receipt and then the part file to the data file. So the part file is looked for before the data file:
 * if the first is gone, and the second is not there after that, no rename can still bring it. A receipt that does not say that
 * its file is local stays: it may have been kept for an object in B2.
 */
async function isAbandonedReceipt (fs: FileSystem, receipt: SeenOfFile): Promise<boolean> {
  if (await exists(fs, receipt.place.dataPart)) return false
  if (await exists(fs, receipt.place.data) || await exists(fs, receipt.place.rest)) return false
  if (!await isLocal(fs, receipt.path)) return false
  return await isUnchanged(fs, receipt)
}

async function isLocal (fs: FileSystem, receiptPath: string): Promise<boolean> {
  const text = await fs.readFile(receiptPath, 'utf8')
  try {
    return ['local', 'split'].includes(JSON.parse(text).storage)
  } catch {
    return false
  }
}

/** A removal removes the note last, and may have been killed before. */
async function isAbandonedNote (fs: FileSystem, note: SeenOfFile): Promise<boolean> {
  return !await exists(fs, note.place.receipt) && await isUnchanged(fs, note)
}

async function findLive ({ fs, root, signal, log }: SweepOptions): Promise<Seen[]> {
  const found: Seen[] = []
  const report = (err: unknown): void => log.warn({ err }, 'a directory of the local store could not be searched for leftovers')
  for await (const { directory, files } of filesBelow(fs, root, report)) {
    signal.throwIfAborted()
    for (const fileName of files) {
      if (kindOf(fileName)?.kind !== 'live') continue
      const path = join(directory, fileName)
      const stamp = await stampOf(fs, path).catch(() => undefined)
      if (stamp !== undefined) found.push({ path, stamp }) // else it is gone meanwhile, or can't be read
    }
  }
  return found
}

async function countWithoutReceipt ({ fs, root, signal }: SweepOptions): Promise<number> {
  let count = 0
  for await (const { directory, files } of filesBelow(fs, root, () => {})) {
    for (const fileName of files) {
      signal.throwIfAborted()
      const file = kindOf(fileName)
      if (file?.kind !== 'data' && file?.kind !== 'rest') continue
      const place = placeIn(directory, file.name)
      if (!await exists(fs, place.receipt) && await exists(fs, place[file.kind])) count++
    }
  }
  return count
}
