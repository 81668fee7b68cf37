import { join } from 'node:path'
import fp from 'fastify-plugin'
import { createB2Store } from '../services/b2/store.ts'
import type { B2Store, B2StoreOptions } from '../services/b2/store.ts'
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
export type B2Options = Omit<B2StoreOptions, 'log' | 'leftoversDir' | 'isWanted' | 'keyPrefix' | 'onFailure'>

export interface B2ClientPluginOptions {
  /** The bucket and how to reach it; undefined for local-only mode. */
  b2?: B2Options | undefined
  /** Put before every key. */
  keyPrefix: string
  /** Is told what B2 fails with. */
  observer?: Observer | undefined
}

/**
 * Decorates the primary store, which writes down in the local store's directory what is to be removed from B2, and removes
 * nothing that has a file or receipt there. No call is made to B2 at the start: a key that may upload often may not look at the bucket.
 */
export default fp<B2ClientPluginOptions>(async (app, { b2, keyPrefix, observer }) => {
  const { [kLocalStore]: localStore } = app
  const store = b2 === undefined
    ? undefined
    : createB2Store({
      ...b2,
      // Without one, unfinished uploads in the bucket may be anybody's.
      ...(keyPrefix === '' ? {} : { keyPrefix }),
      leftoversDir: join(localStore.dir, '.leftovers'),
      isWanted: async key => await localStore.find(key) !== undefined,
      log: app.log,
      onFailure: error_code => observer?.b2Failed(error_code),
    })
  app.decorate(kB2, store)
  app.addHook('onClose', async () => { await store?.close() })
}, { name: 'b2-client', fastify: '5.x', dependencies: ['local-store'] })
