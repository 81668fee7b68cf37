import { join } from 'node:path'
import { assertFree, exists, ifThere, syncDirectory, unlinkIfThere, type FileSystem } from '../disk/file-system.ts'
import { PartFile } from '../disk/part-file.ts'
import { LocalStoreError, toLocalStoreError } from './errors.ts'
import { isManifest, type SplitManifest } from './manifest.ts'
import { placeOf, temporaryName, type LocalPlace } from './names.ts'
import type { Heartbeat } from './writing/heartbeat.ts'
import type { Log, UploadContext } from '../log.ts'
import { isTrack, type Receipt } from '../receipt.ts'

/** What the store knows about a key. */
export interface FoundFile {
  /** `file`: a whole file with its receipt; `rest`: what B2 lacks of a split file; `receipt`: one that was kept for an object in B2. */
  kind: 'file' | 'rest' | 'receipt'
  receipt: Receipt
  /** Of a split file. */
  manifest?: SplitManifest
  /** Of the upload, for the log; absent if the receipt does not have it. */
  correlationId?: string
  /** Tells it from what other uploads may have stored in B2 under the same key. */
  attempt?: string
  /** Why it must not be promoted; undefined if it may be. */
  setAside: string | undefined
}

export interface Receipts {
  /**
   * The receipt of a file that is whole here, of a split one whose rest is here, or one that was kept for an object in B2; undefined if there is neither.
   * @throws LocalStoreError, also for a damaged receipt (`io_error`): its file is here nevertheless
   */
  find (key: string): Promise<FoundFile | undefined>
  /** Whether there is a receipt of this key, which is quicker than {@link find}. @throws LocalStoreError */
  has (key: string): Promise<boolean>
  /**
   * Keeps the receipt of an object in B2, durably, until it can be stored beside the object.
   * @param context of the upload; its log is used for messages, by default the store's own
   * @throws LocalStoreError; nothing is left then. Also for a key that is stored or kept already (`io_error`, EEXIST)
   */
  keepReceipt (key: string, receipt: Receipt, context?: UploadContext): Promise<void>
  /**
   * Notes durably that the file must not be promoted, for all processes on the directory. A later reason replaces an earlier
   * one. Does nothing if there is no receipt (any more).
   * @throws LocalStoreError; no half note is left then
   */
  setAside (key: string, reason: string): Promise<void>
  /** Removes the note, if there is one. @throws LocalStoreError */
  takeUp (key: string): Promise<void>
  /** Why the last try to read the receipt of this key failed. */
  trouble (key: string): string | undefined
  /** The reason in the note, which exists. Never rejects: only the note's existence matters. */
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

/** Receipts that can't be read are logged once each; so many are remembered. */
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
      // The receipt of a local file without the file belongs to a commit or a removal under way.
      const there = receipt.storage === 'split' ? 'rest' : 'data'
      const kind = await exists(reading, place[there]) ? (there === 'rest' ? 'rest' : 'file') : receipt.storage === 'b2' ? 'receipt' : undefined
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

  async function keepReceipt (key: string, receipt: Receipt, context?: UploadContext): Promise<void> {
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
      // Written under a unique name: one that a kill left behind must not stop another process.
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

  return { find, has, keepReceipt, setAside, takeUp, reasonOf, trouble: key => troubles.get(key) }
}

type KeptReceipt = Pick<FoundFile, 'receipt' | 'correlationId' | 'attempt' | 'manifest'>

/** A receipt as it is written down: later log lines about the file, perhaps of another process, can name its upload. */
export function withCorrelationId (receipt: object, context: UploadContext | undefined): object {
  return context === undefined ? receipt : { ...receipt, correlation_id: context.correlationId }
}

/** A receipt of another key also counts as damaged: it was copied or moved, and nothing may be promoted because of it. */
function parseReceipt (text: string, key: string): KeptReceipt {
  const { correlation_id: id, attempt, manifest, ...receipt } = Object(parseJson(text)) as Partial<Receipt> & { correlation_id?: unknown, attempt?: unknown, manifest?: unknown }
  const known = { ...(typeof id === 'string' ? { correlationId: id } : {}), ...(typeof attempt === 'string' ? { attempt } : {}) }
  if (isTrack(receipt.track) && receipt.track.key === key) {
    if (receipt.storage === 'b2' || receipt.storage === 'local') return { receipt: receipt as Receipt, ...known }
    if (receipt.storage === 'split' && isManifest(manifest, receipt.track.size_bytes)) return { receipt: receipt as Receipt, manifest, ...known }
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
