import { stampOf, type FileSystem } from '../../disk/file-system.ts'
import { errnoOf } from '../../disk/errors.ts'
import type { Owners } from './owners.ts'
import type { Log } from '../../log.ts'

/** Checks of a file that may belong to a process that can't be asked; many, as a pause of this process makes at most one worthless. */
const LOOKS = 10

/** A file as it looked. */
export interface Seen {
  path: string
  stamp: string
}

/** Live files with unknown owners. */
export interface LiveFiles {
  files: readonly Seen[]
  /** Entries of owners that can't be asked, as they looked; undefined before the first check. */
  owners?: readonly Seen[]
  /** How often all of them have looked the same. */
  looks: number
}

export interface JudgeOptions {
  fs: FileSystem
  /** Milliseconds between two checks. */
  delayMs: number
  /** True for a live file of this process. */
  isOpenHere: (path: string) => boolean
  owners: Owners
  log: Log
}

/**
 * Tells abandoned live files from those that must be checked again. A file that changes has an owner, and so has one that a living
 * process claims. A file that looks the same is abandoned if all processes that might have it say no, or are dead. While one does
 * not answer, the file stays; and if some can't be asked, it has to look the same for as long as they may stand still. Checks are
 * compared with each other and never with a clock: machines that share a volume need not agree on the time.
 */
export async function judgeLiveFiles (options: JudgeOptions, { files, owners: entries, looks }: LiveFiles): Promise<{ abandoned: Seen[], undecided: LiveFiles }> {
  const { fs, delayMs, isOpenHere, owners, log } = options
  const report = (err: unknown): void => log.warn({ err }, 'a leftover in the local store could not be judged')
  const same = await unchanged(fs, files.filter(({ path }) => !isOpenHere(path)), report)
  const { alive, isSilent, patienceMs, dead, elsewhere } = await owners.ask(same.map(({ path }) => path))
  for (const owner of dead) await removeEntry(owners.entry(owner))
  const rest = same.filter(({ path }) => !alive.has(path))
  const stale = entries === undefined ? await lookAt(elsewhere.map(owner => owners.entry(owner))) : await unchanged(fs, entries, report)
  const looksNeeded = patienceMs === 0 ? 0 : Math.max(LOOKS, Math.ceil(patienceMs / delayMs))
  if (isSilent || looks < looksNeeded) return { abandoned: [], undecided: { files: rest, owners: stale, looks: looks + 1 } }
  // A process that lives, and has no files now, registers again with its next one.
  for (const { path } of stale) await removeEntry(path)
  return { abandoned: rest, undecided: { files: [], owners: [], looks } }

  async function lookAt (paths: readonly string[]): Promise<Seen[]> {
    const seen: Seen[] = []
    for (const path of paths) {
      const stamp = await stampOf(fs, path).catch(() => undefined)
      if (stamp !== undefined) seen.push({ path, stamp })
    }
    return seen
  }

  async function removeEntry (path: string): Promise<void> {
    await fs.rmdir(path).catch((err: unknown) => { if (errnoOf(err) !== 'ENOENT') report(err) })
  }
}

async function unchanged (fs: FileSystem, files: readonly Seen[], report: (err: unknown) => void): Promise<Seen[]> {
  const same: Seen[] = []
  for (const file of files) {
    try {
      if (await isUnchanged(fs, file)) same.push(file)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') report(error)
    }
  }
  return same
}

export async function isUnchanged (fs: FileSystem, file: Seen): Promise<boolean> {
  return await stampOf(fs, file.path) === file.stamp
}
