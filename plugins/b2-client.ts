import fp from 'fastify-plugin'
import { createB2Store } from '../services/b2/store.ts'
import type { B2Store, B2StoreOptions } from '../services/b2/store.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The primary store; undefined in local-only mode. */
    b2: B2Store | undefined
  }
}

export interface B2ClientPluginOptions {
  /** The bucket and how to reach it; undefined for local-only mode. */
  b2?: Omit<B2StoreOptions, 'log'> | undefined
}

/** Decorates `app.b2`. No call is made to B2 at the start: a key that may upload often may not look at the bucket. */
export default fp<B2ClientPluginOptions>(async (app, { b2 }) => {
  const store = b2 === undefined ? undefined : createB2Store({ ...b2, log: app.log })
  app.decorate('b2', store)
  app.addHook('onClose', async () => { await store?.close() })
}, { name: 'b2-client', fastify: '5.x' })
