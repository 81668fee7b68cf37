import { join } from 'node:path'
import type { Settings } from './config/options.ts'
import { createB2Store } from './b2/store.ts'
import type { B2Store, B2StoreOptions } from './b2/store.ts'
import { createLocalStore } from './local/store.ts'
import type { LocalStore, LocalStoreOptions } from './local/store.ts'
import type { Log } from './log.ts'
import { createMetrics } from './metrics.ts'
import type { Metrics, MetricsOptions } from './metrics.ts'
import { openLocalStore } from './local/open-store.ts'
import { createUploads } from './uploads.ts'
import type { UploadService, UploadSettings } from './uploads.ts'

/** The bucket and how to reach it. @interface */
export type B2Options = Omit<B2StoreOptions, 'log' | 'leftoversDir' | 'leftoversDisk' | 'isWanted' | 'isBusy' | 'isContinued' | 'removeHere' | 'keyPrefix' | 'onFailure'>

export interface EngineOptions extends UploadSettings {
  readonly log: Log
  /** Undefined for local-only mode. */
  readonly b2?: B2Options | undefined
  /** Variables that `b2` would need and that are not set, for the log. */
  readonly missing?: readonly string[] | undefined
  readonly local: Omit<LocalStoreOptions, 'log' | 'patienceMs'> & { readonly required?: boolean | undefined }
  readonly metrics?: MetricsOptions | undefined
  /** Whether it is for `promote({ dryRun: true })` alone: then it tidies up neither the directory nor B2. Default false. */
  readonly isDryRun?: boolean
}

/** All that stores, finds, moves and removes files. */
export interface Engine {
  readonly local: LocalStore
  /** Undefined in local-only mode. */
  readonly b2: B2Store | undefined
  readonly uploads: UploadService
  readonly metrics: Metrics | undefined
  /** Takes no more uploads, gives what is under way `shutdownGraceMs` to end, and closes both stores. */
  close (): Promise<void>
}

/**
 * Makes the whole engine out of plain options. B2 is not called: a key that is allowed to upload is often not allowed to look at the bucket.
 * @throws {TypeError} for a bad option; what opening the directory throws
 */
export async function createEngine ({ b2: bucket, missing = [], local: directory, metrics: metricsOptions, isDryRun = false, ...options }: EngineOptions & Settings<''>): Promise<Engine> {
  const { log, idleTimeoutMs, keyPrefix, shutdownGraceMs } = options
  const metrics = metricsOptions && createMetrics(metricsOptions)
  const observer = metrics?.observer
  let local: LocalStore | undefined
  let b2: B2Store | undefined
  let resumables: UploadService['resumables']
  async function closeStores (): Promise<void> {
    await b2?.close()
    await local?.close()
    metrics?.close()
  }
  try {
    // Twice the time for which a client may be silent, and a minute: what its upload survives, its part file has to.
    const storeOptions = { ...directory, log, patienceMs: 2 * idleTimeoutMs + 60_000 }
    local = isDryRun ? createLocalStore(storeOptions) : await openLocalStore({ ...storeOptions, destination: bucket })
    if (bucket === undefined && missing.length > 0) {
      log.warn({ missing }, `B2 is not configured, ${missing.join(', ')} missing: ` +
        `running local-only, uploads are stored in ${local.dir} and stay there`)
    }
    if (bucket !== undefined && isDryRun) await local.assertBucket(bucket)
    b2 = bucket && createB2Store({
      ...bucket,
      log,
      onFailure: error_code => observer?.b2Failed(error_code),
      ...(isDryRun ? {} : { keyPrefix, isContinued: key => resumables?.isUnfinished(key) ?? Promise.resolve(false), ...besideLocal(local) }),
    })
    const opened = local
    const beforePass = bucket && !isDryRun ? async () => await opened.claimForBucket(bucket) : undefined // a full disk had no room for it at the start
    const uploads = createUploads({ ...options, b2, local, observer, beforePass, isDryRun })
    resumables = uploads.resumables
    metrics?.watch(uploads)
    return {
      local,
      b2,
      uploads,
      metrics,
      async close () {
        await uploads.close(shutdownGraceMs)
        await closeStores()
      },
    }
  } catch (error) {
    await closeStores()
    throw error
  }
}

/** B2's leftovers are written down in the local directory, and nothing is removed from B2 that has a file or receipt there. */
function besideLocal (local: LocalStore): Partial<B2StoreOptions> {
  return {
    leftoversDir: join(local.dir, '.leftovers'),
    leftoversDisk: { fs: local.fs, mayBlock: !local.isHanging },
    // The rest of a split file may still be coming: B2 must keep its parts.
    isWanted: async key => local.isComing(key) || await local.find(key) !== undefined,
    async isBusy (key) {
      if (!await local.isClaimedElsewhere(key)) return false
      const claim = await local.claim(key) // takes over that of a process that died
      await claim?.release()
      return claim === undefined
    },
    removeHere: async key => await local.remove(key),
  }
}
