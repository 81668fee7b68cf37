import { join } from 'node:path'
import { assertFree, exists, ifThere, syncDirectory, unlinkIfThere, type FileSystem } from '../disk/file-system.ts'
import { PartFile } from '../disk/part-file.ts'
import { LocalStoreError, toLocalStoreError } from './errors.ts'
import { placeOf, temporaryName, type LocalPlace } from './names.ts'
import type { Heartbeat } from './writing/heartbeat.ts'
import type { Log, UploadContext } from '../log.ts'
import { isTrack, type Receipt } from '../receipt.ts'

/** What the store knows of a key. */
export interface FoundFile {
  /** `file`: a whole file with its receipt; `receipt`: one that was kept for an object in B2. */
  kind: 'file' | 'receipt'
  receipt: Receipt
  /** Of the upload, for what is logged of it; absent where the receipt does not say. */
  correlationId?: string
  /** Why it must not be promoted as it is; undefined where it may be. */
  setAside: string | undefined
}

export interface Receipts {
  /** The methods of the store. */
  find (key: string): Promise<FoundFile | undefined>
  has (key: string): Promise<boolean>
  keep (key: string, receipt: Receipt, context?: UploadContext): Promise<void>
  setAside (key: string, reason: string): Promise<void>
  takeUp (key: string): Promise<void>
  /** Why the receipt of this key could not be read when it was last tried. */
  trouble (key: string): string | undefined
  /** The reason in the note, which is there. Never rejects: that it is there is what counts. */
  reasonOf (key: string): Promise<string>
}

export interface ReceiptsOptions {
  fs: FileSystem
  /** Reads receipts. Default: `fs`. */
  reading?: FileSystem
  /** Absolute path. */
  root: string
  heartbeat: Heartbeat
  makeDirectory: (directory: string) => Promise<void>
  log: Log
}

/** Of those that can't be read, and are told of only once. */
const MOST_TROUBLES = 10_000

export function createReceipts (options: ReceiptsOptions): Receipts {
  const { fs, reading = fs, root, heartbeat, makeDirectory, log } = options
  const troubles = new Map<string, string>()

  async function read (key: string, { receipt: path }: LocalPlace): Promise<KeptReceipt | undefined> {
    try {
      const text = await ifThere(reading.readFile(path, 'utf8'))
      const kept = text === undefined ? undefined : parseReceipt(text, key)
      troubles.delete(key)
      return kept
    } catch (cause) {
      const err = toLocalStoreError(cause, 'The receipt could not be read from local storage')
      if (!troubles.has(key)) log.error({ err, key }, 'a receipt in the local store cannot be read; it and its file are left alone')
      troubles.set(key, err.message)
      if (troubles.size > MOST_TROUBLES) troubles.delete(troubles.keys().next().value!)
      throw err
    }
  }

  async function write (partPath: string, path: string, value: object, own = log): Promise<void> {
    const file = await heartbeat.creating(partPath, () => PartFile.create(fs, partPath))
    heartbeat.add(file)
    try {
      await file.publish(value, path, { warn: (err, message) => own.warn({ err }, message) })
    } finally {
      heartbeat.delete(file)
    }
  }

  async function find (key: string): Promise<FoundFile | undefined> {
    const place = placeOf(root, key)
    const kept = await read(key, place)
    if (kept === undefined) return undefined
    const { receipt } = kept
    try {
      // A receipt of a local file without its file is a commit that has not happened, or a removal that has.
      const kind = await exists(reading, place.data) ? 'file' : receipt.storage === 'b2' ? 'receipt' : undefined
      if (kind === undefined) return undefined
      return { kind, ...kept, setAside: await exists(reading, place.note) ? await reasonOf(key) : undefined }
    } catch (cause) {
      throw toLocalStoreError(cause, 'The file could not be looked for in local storage')
    }
  }

  async function has (key: string): Promise<boolean> {
    const { receipt } = placeOf(root, key)
    try {
      return await exists(fs, receipt)
    } catch (cause) {
      throw toLocalStoreError(cause, 'The receipt could not be looked for in local storage')
    }
  }

  async function keep (key: string, receipt: Receipt, context?: UploadContext): Promise<void> {
    const place = placeOf(root, key)
    try {
      await makeDirectory(place.directory)
      await assertFree(fs, place.data, place.receipt)
      await write(place.receiptPart, place.receipt, withCorrelationId(receipt, context), context?.log)
    } catch (cause) {
      throw toLocalStoreError(cause, 'The receipt could not be kept locally')
    }
  }

  async function setAside (key: string, reason: string): Promise<void> {
    const { directory, receipt, note } = placeOf(root, key)
    try {
      if (!await exists(fs, receipt)) return
      // Written under a name of its own: one left behind by a kill must not stop another process.
      await write(join(directory, temporaryName('note')), note, { reason, at: new Date().toISOString() })
    } catch (cause) {
      throw toLocalStoreError(cause, 'The file could not be set aside in local storage')
    }
  }

  async function takeUp (key: string): Promise<void> {
    const { directory, note } = placeOf(root, key)
    try {
      if (await unlinkIfThere(fs, note)) await syncDirectory(fs, directory)
    } catch (cause) {
      throw toLocalStoreError(cause, 'The file could not be taken up again in local storage')
    }
  }

  async function reasonOf (key: string): Promise<string> {
    try {
      const { reason } = JSON.parse(await reading.readFile(placeOf(root, key).note, 'utf8'))
      if (typeof reason === 'string') return reason
    } catch {}
    return 'it was set aside, but the note that says why cannot be read'
  }

  return { find, has, keep, setAside, takeUp, reasonOf, trouble: key => troubles.get(key) }
}

type KeptReceipt = Pick<FoundFile, 'receipt' | 'correlationId'>

/** A receipt as it is written down: what is logged of the file later, perhaps by another process, shall name its upload. */
export function withCorrelationId (receipt: Receipt, context: UploadContext | undefined): object {
  return context === undefined ? receipt : { ...receipt, correlation_id: context.correlationId }
}

/** Also one that belongs to another key is damaged: somebody copied or moved it, and nothing may be promoted on its word. */
function parseReceipt (text: string, key: string): KeptReceipt {
  const { correlation_id: id, ...receipt } = Object(parseJson(text)) as Partial<Receipt> & { correlation_id?: unknown }
  if ((receipt.storage === 'b2' || receipt.storage === 'local') && isTrack(receipt.track) && receipt.track.key === key) {
    return { receipt: receipt as Receipt, ...(typeof id === 'string' ? { correlationId: id } : {}) }
  }
  throw new LocalStoreError('The receipt in local storage is damaged', { error_code: 'io_error' })
}

function parseJson (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
