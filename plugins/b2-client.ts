import fp from 'fastify-plugin'
import type { B2Store } from '../services/b2/store.ts'
import type { Engine } from '../services/engine.ts'

/** The decorator's name, which no host's own can collide with. */
export const kB2 = Symbol('fastify-b2-uploads.b2')

declare module 'fastify' {
  interface FastifyInstance {
    /** The primary store; undefined in local-only mode. */
    [kB2]: B2Store | undefined
  }
}

/** Decorates the primary store, and closes it with the app. */
export default fp<Pick<Engine, 'b2'>>(async (app, { b2 }) => {
  app.decorate(kB2, b2)
  app.addHook('onClose', async () => { await b2?.close() })
}, { name: 'b2-client', fastify: '5.x' })
