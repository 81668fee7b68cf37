import type { Dir, Dirent } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import type { FileSystem } from './file-system.ts'
import { BoundedFile } from './bounded-file.ts'
import type { RunBounded } from './bounded-file.ts'
import type { DiskSlots, DiskUse } from './slots.ts'

/** Milliseconds that operations may take before they count as hanging. */
export interface DiskDeadlines {
  /** For most operations. Default 10,000: a disk that wakes up, or a server that fails over, takes seconds. */
  readonly operationMs?: number | undefined
  /** For `fsync` and listings, whose work has no bound: all of a large file, all names of a directory. Default 60,000. */
  readonly longMs?: number | undefined
}

export interface BoundedFileSystemOptions extends DiskDeadlines {
  readonly fs: FileSystem
  readonly slots: DiskSlots
  readonly use: DiskUse
  /** Callers wait as long as it takes. Default false. */
  readonly isPatient?: boolean
}

/** System calls whose names differ from those of Node's functions. */
const CALLS: Readonly<Record<string, string>> = { readFile: 'read', readdir: 'scandir' }
const LONG_CALLS = new Set(['fsync', 'scandir'])

const patientOnes = new WeakMap<FileSystem, FileSystem>()

/** The same file system for work that must be done eventually: it waits for a disk that hangs. Without deadlines it is the same one. */
export function patient (fs: FileSystem): FileSystem {
  return patientOnes.get(fs) ?? fs
}

/**
 * A file system whose operations have deadlines and take slots. If an overdue operation succeeds later, its effect is undone: a
 * file that was opened late is closed, and one that was created late is removed.
 */
export function boundedFileSystem (options: BoundedFileSystemOptions): FileSystem {
  const { fs, slots, use, operationMs = 10_000, longMs = 60_000, isPatient = false } = options
  const runAs = (isPatient: boolean) => <T>(call: string, operate: () => Promise<T>, undo?: (result: T) => Promise<void>): Promise<T> =>
    slots.run({ use, call, deadlineMs: LONG_CALLS.has(call) ? longMs : operationMs, isPatient }, operate, undo)
  const run = runAs(isPatient)
  const runPatiently = runAs(true)

  async function open (...[path, flags, mode]: Parameters<FileSystem['open']>): Promise<FileHandle> {
    const handle = await run('open', () => fs.open(path, flags, mode), async late => {
      if (String(flags).includes('x')) await runPatiently('unlink', () => removeIfIt(fs, late, String(path))).catch(() => {})
      await runPatiently('close', () => late.close())
    })
    return new BoundedFile(handle, run, runPatiently) as unknown as FileHandle
  }

  async function opendir (...values: Parameters<FileSystem['opendir']>): Promise<Dir> {
    const directory = await run('scandir', () => fs.opendir(...values), async late => { await runPatiently('close', () => late.close()) })
    return boundedDirectory(directory, run, runPatiently)
  }

  const own: Record<string, unknown> = { ...fs }
  for (const [name, method] of Object.entries(fs)) {
    if (typeof method !== 'function') continue
    const operate = method as (...values: unknown[]) => Promise<unknown>
    own[name] = async (...values: unknown[]) => await run(CALLS[name] ?? name, () => operate(...values))
  }
  const bounded = { ...own, open, opendir } as unknown as FileSystem
  if (!isPatient) patientOnes.set(bounded, boundedFileSystem({ ...options, isPatient: true }))
  return bounded
}

/** Removes the file of this name, unless it is another file by now. */
async function removeIfIt (fs: FileSystem, handle: FileHandle, path: string): Promise<void> {
  const [own, there] = [await handle.stat({ bigint: true }), await fs.lstat(path, { bigint: true })]
  if (own.ino === there.ino && own.dev === there.dev) await fs.unlink(path)
}

/** Names that are read at a time. */
const BATCH = 256

/** The part of an open directory that is used here. Like Node's own it closes when all names have been read, or the reader stops. */
function boundedDirectory (directory: Dir, run: RunBounded, runPatiently: RunBounded): Dir {
  let last: Promise<unknown> = Promise.resolve()

  async function readBatch (): Promise<Dirent[]> {
    return await run('scandir', async () => {
      const read = (async () => {
        const batch: Dirent[] = []
        for (let entry; batch.length < BATCH && (entry = await directory.read()) !== null;) batch.push(entry)
        return batch
      })()
      last = read.catch(() => {})
      return await read
    })
  }

  return {
    path: directory.path,
    async * [Symbol.asyncIterator] () {
      try {
        for (;;) {
          const batch = await readBatch()
          yield * batch
          if (batch.length < BATCH) return
        }
      } finally {
        // After a read that hangs; nothing waits for it.
        last.then(() => runPatiently('close', () => directory.close())).catch(() => {})
      }
    },
  } as unknown as Dir
}
