import { relative, sep } from 'node:path'
import type { FileSystem } from './local-directory.ts'
import { toLocalStoreError } from './local-errors.ts'
import type { Log } from './log.ts'
import { kindOf, noteName } from './local-names.ts'
import type { Receipts } from './local-receipts.ts'
import { filesBelow } from './local-walk.ts'

/** One entry of the queue for B2. */
export interface PendingFile {
  key: string
  /** `file`: a whole file with its receipt; `receipt`: one that was kept for an object in B2. */
  kind: 'file' | 'receipt'
  /** Why it must not be promoted as it is; undefined where it may be. */
  setAside: string | undefined
}

export interface PendingOptions {
  fs: FileSystem
  /** Absolute path. */
  root: string
  receipts: Receipts
  log: Log
}

/**
 * The directory as a queue. Names say nearly everything: what lies beside its data file is a file to be promoted, and what
 * has a note is set aside. Only a receipt that lies alone must be read: it may be kept for an object in B2, or be that of
 * a commit on its way.
 */
export function createPending ({ fs, root, receipts, log }: PendingOptions): () => Promise<PendingFile[]> {
  const reported = new Set<string>()

  function passOver (err: unknown, directory: string): void {
    if (directory === root) throw err
    if (!reported.has(directory)) log.warn({ err }, 'a directory of the local store cannot be searched for files to promote')
    reported.add(directory)
  }

  async function judge (key: string, hasData: boolean, hasNote: boolean): Promise<PendingFile | undefined> {
    const setAside = hasNote ? await receipts.reasonOf(key) : undefined
    // One that was in trouble may have been repaired.
    if (hasData && receipts.trouble(key) === undefined) return { key, kind: 'file', setAside }
    try {
      const found = await receipts.find(key)
      return found && { key, kind: found.kind, setAside }
    } catch {
      return { key, kind: hasData ? 'file' : 'receipt', setAside: setAside ?? receipts.trouble(key) ?? 'its receipt cannot be read' }
    }
  }

  return async function pending () {
    const found: PendingFile[] = []
    try {
      for await (const { directory, files, siblings } of filesBelow(fs, root, passOver)) {
        const prefix = directory === root ? '' : `${relative(root, directory).replaceAll(sep, '/')}/`
        for (const fileName of files) {
          const file = kindOf(fileName)
          if (file?.kind !== 'receipt') continue
          const hasData = siblings.has(file.name)
          const entry = await judge(`${prefix}${file.name}`, hasData, siblings.has(noteName(file.name)))
          if (entry !== undefined) found.push(entry)
        }
      }
    } catch (cause) {
      throw toLocalStoreError(cause, 'The local directory could not be searched for files to promote')
    }
    // Ids begin with the time. A listing mostly comes in order, so this is quick for many files, too.
    return found.sort((a, b) => nameOf(a) < nameOf(b) ? -1 : 1)
  }
}

function nameOf ({ key }: PendingFile): string {
  return key.slice(key.lastIndexOf('/') + 1)
}
