import type { FileHandle } from 'node:fs/promises'
import nodeFs from 'node:fs/promises'
import { basename } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { DiskJournal } from './journal.ts'
import type { DiskCall, DiskFault, DiskSubject } from '../script.ts'

interface Entry {
  readonly fault: DiskFault
  seen: number
  applied: number
}

let root = '\0'
let faults: Entry[] = []
let journal: DiskJournal | undefined

/**
 * From now on calls below `directory` obey the faults, and what they change is written down in a journal. It changes Node's
 * own functions: to be called before the local store is made, which takes them then.
 */
export function watchDisk (directory: string, journalPath: string): void {
  root = directory
  journal = new DiskJournal(journalPath)
  patch(nodeFs as unknown as Functions)
}

export function breakDisk (fault: DiskFault): void {
  faults.push({ fault, seen: 0, applied: 0 })
}

export function mendDisk (): void {
  faults = []
}

type AnyFunction = (...values: any[]) => Promise<any>
type Functions = Record<string, AnyFunction>

function patch (fs: Functions): void {
  const { open, rename, unlink, mkdir, readdir, readFile, lstat, access, statfs } = fs as Record<string, AnyFunction>
  Object.assign(fs, {
    async open (path: string, flags: string, mode: number) {
      if (!isBelow(path)) return await open!(path, flags, mode)
      const call = flags === 'r' ? 'read' : 'open'
      return await attempt(call, path, async () => {
        const isNew = flags !== 'r'
        const handle: FileHandle = await open!(path, flags, mode)
        if (isNew) journal?.created(path)
        return watch(handle, path)
      })
    },
    async rename (from: string, to: string) {
      if (!isBelow(from)) return await rename!(from, to)
      await attempt('rename', to, async () => {
        journal?.renaming(from, to)
        await rename!(from, to)
      })
    },
    async unlink (path: string) {
      if (!isBelow(path)) return await unlink!(path)
      await attempt('unlink', path, async () => {
        journal?.unlinking(path)
        await unlink!(path)
      })
    },
    mkdir: guarded('mkdir', mkdir!),
    readdir: guarded('list', readdir!),
    readFile: guarded('read', readFile!),
    lstat: guarded('stat', lstat!),
    access: guarded('stat', access!),
    statfs: guarded('stat', statfs!),
  })
}

function guarded (call: DiskCall, real: AnyFunction): AnyFunction {
  return async (path: string, ...rest) => isBelow(path) ? await attempt(call, path, () => real(path, ...rest)) : await real(path, ...rest)
}

/** The handle itself is changed, since streams made of it use it directly. */
function watch (handle: FileHandle, path: string): FileHandle {
  const write = handle.write.bind(handle) as unknown as AnyFunction
  const read = handle.read.bind(handle) as unknown as AnyFunction
  const sync = handle.sync.bind(handle)
  Object.assign(handle, {
    write: async (bytes: Uint8Array, offset: number, length: number, position: number) =>
      await attempt('write', path, async () => {
        journal?.dirtied(await inodeOf(handle))
        return await write(bytes, offset, length, position)
      }, async () => await write(bytes, offset, Math.ceil(length / 2), position)),
    writeFile: async (text: string) => {
      const bytes = Buffer.from(text)
      await (handle.write as unknown as AnyFunction)(bytes, 0, bytes.byteLength, 0)
    },
    read: async (...values: unknown[]) => await attempt('read', path, () => read(...values)),
    sync: async () => await attempt('sync', path, async () => {
      const stats = await handle.stat({ bigint: true })
      const synced = stats.isDirectory() ? journal?.directorySynced(path) : journal?.synced(stats.ino, stats.size)
      await sync()
      synced?.()
    }),
  })
  return handle
}

async function inodeOf (handle: FileHandle): Promise<bigint> {
  return (await handle.stat({ bigint: true })).ino
}

function isBelow (path: unknown): path is string {
  return typeof path === 'string' && (path === root || path.startsWith(`${root}/`))
}

async function attempt (call: DiskCall, path: string, work: () => Promise<unknown>, half?: () => Promise<unknown>): Promise<any> {
  const fault = take(call, path)
  if (fault === undefined) return await work()
  if (fault.delayMs !== undefined) await wait(fault.delayMs)
  if (fault.kill === 'before') process.kill(process.pid, 'SIGKILL')
  if (fault.code === undefined || fault.afterDoing === true) {
    const result = await work()
    if (fault.kill === 'after') process.kill(process.pid, 'SIGKILL')
    if (fault.code === undefined) return result
  } else if (fault.short === true && half !== undefined) {
    return await half()
  }
  throw Object.assign(new Error(`${fault.code}: simulated, ${call} '${path}'`), { code: fault.code, syscall: call })
}

function take (call: DiskCall, path: string): DiskFault | undefined {
  for (const entry of faults) {
    const { fault } = entry
    if (!fault.calls.includes(call) || (fault.of !== undefined && fault.of !== subjectOf(path))) continue
    entry.seen++
    if (entry.seen <= (fault.after ?? 0) || entry.applied >= (fault.times ?? Infinity)) continue
    entry.applied++
    // Half of the bytes once, then the failure itself.
    return fault.short === true && entry.applied % 2 === 0 ? { ...fault, short: false } : fault
  }
  return undefined
}

function subjectOf (path: string): DiskSubject {
  const name = basename(path)
  if (path.includes('/.leftovers')) return 'leftover'
  if (/\.receipt\.json(\.part)?$/.test(name)) return 'receipt'
  if (/\.claim$|^\.claim-/.test(name)) return 'claim'
  if (/\.set-aside\.json$|^\.note-/.test(name)) return 'note'
  return /[0-9a-f]{12}/.test(name) ? 'data' : 'directory'
}
