import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FileSystem } from './local-directory.ts'
import { errnoOf } from './local-errors.ts'
import { isUnchanged, judgeLiveFiles, type JudgeOptions, type LiveFiles, type Seen } from './local-live-files.ts'
import { kindOf, placeIn, receiptName, type LocalPlace } from './local-names.ts'
import { exists, stampOf } from './local-stamp.ts'
import { filesBelow } from './local-walk.ts'

/**
 * Time between the two looks. Longer than several heartbeats of a living owner, and than the 3 s for which an NFS client
 * may answer a stat out of its cache (acregmin).
 */
export const SWEEP_DELAY_MS = 5_000

export interface SweepOptions extends JudgeOptions {
  /** Absolute path. */
  root: string
  /** Ends the sweep early: it rejects with the signal's reason. */
  signal: AbortSignal
}

export interface RemovedLeftovers {
  /** Claims included. */
  partFilesRemoved: number
  receiptsRemoved: number
}

export interface SweepReport extends RemovedLeftovers {
  /** Whole files that nothing describes. They are left alone: each may be somebody's only copy. */
  filesWithoutReceipt: number
  /** What {@link sweepUndecided} has to look at again. */
  undecided: Undecided
}

export interface Undecided {
  live: LiveFiles
  receipts: readonly SeenOfFile[]
  notes: readonly SeenOfFile[]
}

interface SeenOfFile extends Seen {
  place: LocalPlace
}

interface FirstLook {
  live: Seen[]
  receipts: SeenOfFile[]
  notes: SeenOfFile[]
  dataFiles: LocalPlace[]
}

/** Removes what killed processes left behind, by two looks. Names that are not ours are never touched. */
export async function sweepLeftovers (options: SweepOptions): Promise<SweepReport> {
  const { fs, signal } = options
  const { live, receipts, notes, dataFiles } = await look(options)
  const left = { live: { files: live, looks: 1 }, receipts, notes }
  const { undecided, ...removed } = await sweepAgain(options, left)
  let filesWithoutReceipt = 0
  for (const place of dataFiles) {
    signal.throwIfAborted()
    if (await exists(fs, place.data) && !await exists(fs, place.receipt)) filesWithoutReceipt++
  }
  return { ...removed, filesWithoutReceipt, undecided }
}

/** Looks again and again until it is known of each live file whether anybody has it: until a paused process goes on, or for minutes. */
export async function sweepUndecided (options: SweepOptions, left: Undecided): Promise<RemovedLeftovers> {
  const total = { partFilesRemoved: 0, receiptsRemoved: 0 }
  for (let undecided = left; isAnything(undecided.live);) {
    const removed = await sweepAgain(options, undecided)
    total.partFilesRemoved += removed.partFilesRemoved
    total.receiptsRemoved += removed.receiptsRemoved
    undecided = removed.undecided
  }
  return total
}

async function sweepAgain (options: SweepOptions, { live, receipts, notes }: Undecided): Promise<RemovedLeftovers & { undecided: Undecided }> {
  const { fs, delayMs, signal, log } = options
  await sleep(delayMs, undefined, { signal, ref: false })
  const { abandoned, undecided } = await judgeLiveFiles(options, live)

  /** Removes the files that pass the test; what cannot be judged or removed stays, and is reported. */
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
  // After the part files: the test for receipts relies on the stale ones being gone. And notes go with their receipts.
  const receiptsRemoved = await removeWhere(receipts, file => isAbandonedReceipt(fs, file))
  await removeWhere(notes, file => isAbandonedNote(fs, file))
  return { partFilesRemoved, receiptsRemoved, undecided: { live: undecided, ...ofPartFiles(undecided.files) } }

  /** What goes with them, once they go. */
  function ofPartFiles (files: readonly Seen[]): Pick<Undecided, 'receipts' | 'notes'> {
    const paths = new Set(files.map(({ path }) => path))
    const isTheirs = ({ place }: SeenOfFile): boolean => paths.has(place.dataPart)
    return { receipts: receipts.filter(isTheirs), notes: notes.filter(isTheirs) }
  }
}

function isAnything ({ files, owners = [] }: LiveFiles): boolean {
  return files.length > 0 || owners.length > 0
}

/**
 * The rule for receipts: one is abandoned when its file is not there, cannot come any more, and nobody wrote the receipt
 * between the looks. A commit renames the receipt first and then the part file to the data file. So the part file is asked
 * for before the data file: when the first is gone and the second is not there after that, no rename can still bring it.
 * A receipt that does not say that its file is local stays: it was kept for an object in B2, or perhaps so.
 */
async function isAbandonedReceipt (fs: FileSystem, receipt: SeenOfFile): Promise<boolean> {
  if (await exists(fs, receipt.place.dataPart)) return false
  if (await exists(fs, receipt.place.data)) return false
  if (!await isLocal(fs, receipt.path)) return false
  return await isUnchanged(fs, receipt)
}

async function isLocal (fs: FileSystem, receiptPath: string): Promise<boolean> {
  const text = await fs.readFile(receiptPath, 'utf8')
  try {
    return JSON.parse(text).storage === 'local'
  } catch {
    return false
  }
}

/** A removal takes the note last, and may have been killed before. */
async function isAbandonedNote (fs: FileSystem, note: SeenOfFile): Promise<boolean> {
  return !await exists(fs, note.place.receipt) && await isUnchanged(fs, note)
}

async function look ({ fs, root, signal, log }: SweepOptions): Promise<FirstLook> {
  const found: FirstLook = { live: [], receipts: [], notes: [], dataFiles: [] }
  const report = (err: unknown): void => log.warn({ err }, 'a directory of the local store could not be searched for leftovers')
  for await (const { directory, files, siblings } of filesBelow(fs, root, report)) {
    for (const fileName of files) {
      signal.throwIfAborted()
      await note(fs, found, directory, fileName, siblings)
    }
  }
  return found
}

async function note (fs: FileSystem, found: FirstLook, directory: string, fileName: string, siblings: ReadonlySet<string>): Promise<void> {
  const file = kindOf(fileName)
  if (file === undefined) return
  if (file.kind === 'data') {
    if (!siblings.has(receiptName(file.name))) found.dataFiles.push(placeIn(directory, file.name))
    return
  }
  if (file.kind !== 'live' && siblings.has(file.name)) return // beside its data file
  const path = join(directory, fileName)
  const stamp = await stampOf(fs, path).catch(() => undefined)
  if (stamp === undefined) return // gone meanwhile, or not to be judged
  if (file.kind === 'live') found.live.push({ path, stamp })
  else found[file.kind === 'note' ? 'notes' : 'receipts'].push({ path, stamp, place: placeIn(directory, file.name) })
}
