import { join, resolve } from 'node:path'
import fp from 'fastify-plugin'
import { createB2Store } from '../services/b2/store.ts'
import type { B2Store, B2StoreOptions } from '../services/b2/store.ts'
import { badOption } from '../services/config/check-options.ts'
import { LocalStoreError } from '../services/local/errors.ts'
import type { Observer } from '../services/observer.ts'
import { kLocalStore } from './local-store.ts'

/** The decorator's name, which no host's own can collide with. */
export const kB2 = Symbol('fastify-b2-uploads.b2')

declare module 'fastify' {
  interface FastifyInstance {
    /** The primary store; undefined in local-only mode. */
    [kB2]: B2Store | undefined
  }
}

/** The bucket and how to reach it. @interface */
export type B2Options = Omit<B2StoreOptions, 'log' | 'leftoversDir' | 'leftoversDisk' | 'isWanted' | 'isBusy' | 'removeHere' | 'keyPrefix' | 'onFailure'>

export interface B2ClientPluginOptions {
  /** The bucket and how to reach it; undefined for local-only mode. */
  b2?: B2Options | undefined
  /** What it would need and is not set, for the log. */
  missing?: readonly string[] | undefined
  /** Put before every key. */
  keyPrefix: string
  /** Is told what B2 fails with. */
  observer?: Observer | undefined
}

/**
 * Decorates the primary store, which writes down in the local store's directory what is to be removed from B2, and removes
 * nothing that has a file or receipt there. No call is made to B2 at the start: a key that may upload often may not look at the bucket.
 */
export default fp<B2ClientPluginOptions>(async (app, { b2, missing = [], keyPrefix, observer }) => {
  const { [kLocalStore]: localStore } = app
  app.addHook('onClose', useDirectory(localStore.dir, b2?.bucket))
  if (b2 === undefined && missing.length > 0) {
    app.log.warn({ missing }, `B2 is not configured, ${missing.join(', ')} missing: ` +
      `running local-only, uploads are stored in ${localStore.dir} and stay there`)
  }
  if (b2 !== undefined) {
    await localStore.claimForBucket(b2).catch((err: unknown) => {
      if (!(err instanceof LocalStoreError)) throw err
      app.log.warn({ err, dir: localStore.dir }, 'it can\'t be told which bucket the local storage directory (LOCAL_STORAGE_DIR) belongs to: nothing is promoted until it can')
    })
  }
  const store = b2 === undefined
    ? undefined
    : createB2Store({
      ...b2,
      // Without one, unfinished uploads in the bucket may be anybody's.
      ...(keyPrefix === '' ? {} : { keyPrefix }),
      leftoversDir: join(localStore.dir, '.leftovers'),
      leftoversDisk: { fs: localStore.fs, mayBlock: !localStore.isHanging },
      isWanted: async key => await localStore.find(key) !== undefined,
      async isBusy (key) {
        if (!await localStore.isClaimedElsewhere(key)) return false
        const claim = await localStore.claim(key) // takes over that of a process that died
        await claim?.release()
        return claim === undefined
      },
      removeHere: async key => await localStore.remove(key),
      log: app.log,
      onFailure: error_code => observer?.b2Failed(error_code),
    })
  app.decorate(kB2, store)
  app.addHook('onClose', async () => { await store?.close() })
}, { name: 'b2-client', fastify: '5.x', dependencies: ['local-store'] })

/** What the directories of this process belong to; a bucket's name is unique in all of B2. */
const directories = new Map<string, { readonly bucket: string | undefined, users: number }>()

/**
 * Files in a directory are promoted to the bucket of whoever finds them: with another bucket on the same one, a file would be gone
 * for those who answered for it. Returns what ends the use. @throws {TypeError} where there is another bucket
 */
function useDirectory (dir: string, bucket: string | undefined): () => Promise<void> {
  const path = resolve(dir)
  const use = directories.get(path) ?? { bucket, users: 0 }
  if (use.bucket !== bucket) throw badOption('local.dir', 'another directory: this one is in use with another bucket, to which its files would be promoted')
  use.users++
  directories.set(path, use)
  return async () => { if (--use.users === 0) directories.delete(path) }
}
