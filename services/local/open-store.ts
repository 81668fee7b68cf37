import { resolve } from 'node:path'
import { badOption } from '../config/errors.ts'
import type { Destination } from './bucket.ts'
import { LocalStoreError } from './errors.ts'
import { createLocalStore } from './store.ts'
import type { LocalStore, LocalStoreOptions } from './store.ts'
import type { Log } from '../log.ts'

export interface OpenLocalStoreOptions extends LocalStoreOptions {
  readonly log: Log
  /** Where its files are promoted to; undefined in local-only mode. */
  readonly destination?: Destination | undefined
  /**
   * Whether opening fails if the directory can't be created or written. If false, that is a warning, and every file tries
   * again to create it. A full disk is always a warning: promotions free it. So is one that hangs: B2 needs no disk.
   * Default false.
   */
  readonly required?: boolean | undefined
}

/**
 * The local store, opened and marked as that of the bucket.
 * @throws {TypeError} if this process uses the directory with another bucket, {WrongBucketError} if the directory belongs to another one
 */
export async function openLocalStore ({ destination, required = false, ...options }: OpenLocalStoreOptions): Promise<LocalStore> {
  const { log } = options
  const release = useDirectory(options.dir, destination?.bucket)
  const store = createLocalStore(options)
  const { close } = store
  store.close = async () => await close().finally(release)
  try {
    await open(store, required, log)
    if (destination !== undefined) await claimForBucket(store, destination, log)
  } catch (error) {
    await store.close()
    throw error
  }
  return store
}

async function open (store: LocalStore, required: boolean, log: Log): Promise<void> {
  const { dir } = store
  try {
    await store.open()
  } catch (err) {
    const isFull = err instanceof LocalStoreError && err.error_code === 'disk_full'
    const hangs = err instanceof LocalStoreError && err.isTimeout
    const reason = err instanceof Error ? err.message : String(err)
    if (required && !isFull && !hangs) throw new Error(`The local storage directory "${dir}" (LOCAL_STORAGE_DIR) cannot be created or written. ${reason}`, { cause: err })
    log.warn({ err, dir }, `the ${isFull || hangs ? 'disk of the ' : ''}local storage directory (LOCAL_STORAGE_DIR) ${
      isFull
        ? 'is full, or its quota is used up: no fallback until there is room'
        : hangs ? 'does not answer: no fallback until it does' : 'cannot be created or written: no fallback until it can'}`)
  }
}

async function claimForBucket (store: LocalStore, destination: Destination, log: Log): Promise<void> {
  try {
    await store.claimForBucket(destination)
  } catch (err) {
    if (!(err instanceof LocalStoreError)) throw err
    log.warn({ err, dir: store.dir }, 'it can\'t be told which bucket the local storage directory (LOCAL_STORAGE_DIR) belongs to: nothing is promoted until it can')
  }
}

/** What the directories of this process belong to; a bucket's name is unique in all of B2. */
const directories = new Map<string, { readonly bucket: string | undefined, users: number }>()

/**
 * Notes that this process uses the directory with this bucket, until the function that it returns is called. If two buckets
 * shared a directory, a file could be promoted to the one in which nobody looks for it. @throws {TypeError} if there is another bucket
 */
function useDirectory (dir: string, bucket: string | undefined): () => void {
  const path = resolve(dir)
  const use = directories.get(path) ?? { bucket, users: 0 }
  if (use.bucket !== bucket) throw badOption('local.dir', 'another directory: this one is in use with another bucket, to which its files would be promoted')
  use.users++
  directories.set(path, use)
  return () => { if (--use.users === 0) directories.delete(path) }
}
