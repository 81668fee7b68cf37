import type { Dirent } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FileSystem } from './local-directory.ts'
import { errnoOf } from './local-errors.ts'
import type { LocalStoreLog } from './local-log.ts'
import { kindOf, placeIn, receiptName, type LocalPlace } from './local-names.ts'

/**
 * Time between the two looks. Longer than several heartbeats of a living owner, and than the 3 s for which an NFS client
 * may answer a stat out of its cache (acregmin).
 */
export const SWEEP_DELAY_MS = 5_000

export interface SweepOptions {
  fs: FileSystem
  /** Absolute path. */
  root: string
  delayMs: number
  /** Ends the sweep early: it rejects with the signal's reason. */
  signal: AbortSignal
  /** True for a part file that this process is writing. */
  isOpenHere: (path: string) => boolean
  log: LocalStoreLog
}

export interface SweepReport {
  partFilesRemoved: number
  receiptsRemoved: number
  /** Whole files that nothing describes. They are left alone: each may be somebody's only copy. */
  filesWithoutReceipt: number
}

interface Seen {
  path: string
  stamp: string
}

interface FirstLook {
  parts: Seen[]
  receipts: Array<Seen & { place: LocalPlace }>
  dataFiles: LocalPlace[]
}

/**
 * Removes what killed processes left behind. A living owner keeps its part files fresh, so a file that looks the same
 * twice has none. Only the two looks are compared with each other, never with a clock: machines that share a volume
 * need not agree on the time. Names that are not ours are never touched.
 */
export async function sweepLeftovers (options: SweepOptions): Promise<SweepReport> {
  const { fs, delayMs, signal, isOpenHere, log } = options
  const first = await look(options)
  await sleep(delayMs, undefined, { signal, ref: false })

  /** Removes the files that pass the test; what cannot be judged or removed stays, and is reported. */
  async function removeWhere<T extends Seen> (files: T[], test: (file: T) => Promise<boolean>): Promise<number> {
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

  const partFilesRemoved = await removeWhere(first.parts, async file => !isOpenHere(file.path) && await isUnchanged(fs, file))
  // After the part files: the test for receipts relies on the stale ones being gone.
  const receiptsRemoved = await removeWhere(first.receipts, file => isAbandonedReceipt(fs, file))
  let filesWithoutReceipt = 0
  for (const place of first.dataFiles) {
    signal.throwIfAborted()
    if (await exists(fs, place.data) && !await exists(fs, place.receipt)) filesWithoutReceipt++
  }
  return { partFilesRemoved, receiptsRemoved, filesWithoutReceipt }
}

/**
 * The rule for receipts: one is abandoned when its file is not there, cannot come any more, and nobody wrote the receipt
 * between the looks. A commit renames the receipt first and then the part file to the data file. So the part file is asked
 * for before the data file: when the first is gone and the second is not there after that, no rename can still bring it.
 */
async function isAbandonedReceipt (fs: FileSystem, receipt: Seen & { place: LocalPlace }): Promise<boolean> {
  if (await exists(fs, receipt.place.dataPart)) return false
  if (await exists(fs, receipt.place.data)) return false
  return await isUnchanged(fs, receipt)
}

async function look ({ fs, root, signal, log }: SweepOptions): Promise<FirstLook> {
  const found: FirstLook = { parts: [], receipts: [], dataFiles: [] }
  const directories = [root]
  for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
    signal.throwIfAborted()
    let entries: Dirent[]
    try {
      entries = await fs.readdir(directory, { withFileTypes: true })
    } catch (err) {
      if (errnoOf(err) !== 'ENOENT') log.warn({ err }, 'a directory of the local store could not be searched for leftovers')
      continue
    }
    const names = new Set(entries.map(entry => entry.name))
    for (const entry of entries) {
      if (entry.isDirectory()) directories.push(join(directory, entry.name))
      else if (entry.isFile()) await note(fs, found, directory, entry.name, names)
    }
  }
  return found
}

async function note (fs: FileSystem, found: FirstLook, directory: string, fileName: string, siblings: Set<string>): Promise<void> {
  const file = kindOf(fileName)
  if (file === undefined) return
  if (file.kind === 'data') {
    if (!siblings.has(receiptName(file.name))) found.dataFiles.push(placeIn(directory, file.name))
    return
  }
  if (file.kind === 'receipt' && siblings.has(file.name)) return
  const path = join(directory, fileName)
  const stamp = await stampOf(fs, path).catch(() => undefined)
  if (stamp === undefined) return // gone meanwhile, or not to be judged
  if (file.kind === 'part') found.parts.push({ path, stamp })
  else found.receipts.push({ path, stamp, place: placeIn(directory, file.name) })
}

async function isUnchanged (fs: FileSystem, file: Seen): Promise<boolean> {
  return await stampOf(fs, file.path) === file.stamp
}

async function stampOf (fs: FileSystem, path: string): Promise<string> {
  const { ino, size, mtimeNs } = await fs.lstat(path, { bigint: true })
  return `${ino} ${size} ${mtimeNs}`
}

async function exists (fs: FileSystem, path: string): Promise<boolean> {
  try {
    await fs.lstat(path)
    return true
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw error
  }
}
