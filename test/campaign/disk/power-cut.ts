import { existsSync, linkSync, lstatSync, readFileSync, renameSync, statSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { DiskEntry } from './journal.ts'
import type { Random } from '../seed.ts'

type NameEntry = Extract<DiskEntry, { did: 'create' | 'rename' | 'unlink' }>

/**
 * Does to a directory what a power cut may do to it, by the journal of those who wrote there and are dead by now: of the
 * names in a directory the latest changes that were not synced are taken back, and of each file bytes that were not.
 * @returns what it did, for the log
 */
export async function cutPower (root: string, journalPath: string, random: Random): Promise<string> {
  if (!existsSync(journalPath)) return 'nothing was written'
  const entries = readFileSync(journalPath, 'utf8').split('\n').flatMap(line => parse(line) ?? [])
  writeFileSync(journalPath, '')
  const begins = new Map<string, number>()
  entries.forEach((entry, index) => { if (entry.did === 'begin') begins.set(entry.number, index) })

  let takenBack = 0
  for (const changes of unsyncedNames(entries, begins).values()) {
    for (const change of changes.slice(random.between(0, changes.length)).reverse()) {
      takeBack(change)
      takenBack++
    }
  }
  let cut = 0
  const dirty = dirtyFiles(entries, begins)
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const { size, ino } = statSync(path)
    const synced = dirty.get(String(ino))
    if (synced === undefined || synced >= size) continue
    truncateSync(path, random.chance(0.5) ? synced : random.between(synced, size))
    cut++
  }
  return `${takenBack} names taken back, ${cut} of ${dirty.size} files cut`
}

/** The last line of a killed process may be half. */
function parse (line: string): DiskEntry | undefined {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

function unsyncedNames (entries: readonly DiskEntry[], begins: ReadonlyMap<string, number>): Map<string, NameEntry[]> {
  const syncedAt = new Map<string, number>()
  for (const entry of entries) {
    if (entry.did === 'sync-directory') syncedAt.set(entry.path, Math.max(syncedAt.get(entry.path) ?? -1, begins.get(entry.number) ?? -1))
  }
  const unsynced = new Map<string, NameEntry[]>()
  entries.forEach((entry, index) => {
    if (entry.did !== 'create' && entry.did !== 'rename' && entry.did !== 'unlink') return
    const directory = dirname(entry.did === 'rename' ? entry.to : entry.path)
    if (index < (syncedAt.get(directory) ?? -1)) return
    unsynced.set(directory, [...unsynced.get(directory) ?? [], entry])
  })
  return unsynced
}

/** How many bytes of each file are on the disk for sure, of those that have more. */
function dirtyFiles (entries: readonly DiskEntry[], begins: ReadonlyMap<string, number>): Map<string, number> {
  const written = new Map<string, number>()
  const synced = new Map<string, { at: number, size: number }>()
  entries.forEach((entry, index) => {
    if (entry.did === 'write') written.set(entry.ino, index)
    else if (entry.did === 'sync') synced.set(entry.ino, { at: begins.get(entry.number) ?? -1, size: entry.size })
  })
  return new Map([...written].filter(([ino, at]) => at > (synced.get(ino)?.at ?? -1)).map(([ino]) => [ino, synced.get(ino)?.size ?? 0]))
}

function takeBack (change: NameEntry): void {
  if (change.did === 'create') {
    if (isThere(change.path)) unlinkSync(change.path)
    return
  }
  // It may not have been done.
  if (change.did === 'rename' && isThere(change.to) && !isThere(change.from)) renameSync(change.to, change.from)
  const path = change.did === 'rename' ? change.to : change.path
  if (change.kept !== undefined && !isThere(path)) linkSync(change.kept, path)
}

function isThere (path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined
}
