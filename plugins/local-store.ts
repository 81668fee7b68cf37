import fp from 'fastify-plugin'
import { DiskSlots } from '../services/disk/slots.ts'
import type { Engine } from '../services/engine.ts'
import type { LocalStore } from '../services/local/store.ts'

/** The decorator's name, which no host's own can collide with. */
export const kLocalStore = Symbol('fastify-b2-uploads.local-store')

declare module 'fastify' {
  interface FastifyInstance {
    /** The directory that takes the files B2 could not. */
    [kLocalStore]: LocalStore
  }
}

/** For all registrations in the process, as they share the threads of libuv's pool. */
export const diskSlots = new DiskSlots(Number(process.env['UV_THREADPOOL_SIZE']) || undefined)

/** Decorates the local store, and closes it with the app. */
export default fp<Pick<Engine, 'local'>>(async (app, { local }) => {
  app.decorate(kLocalStore, local)
  app.addHook('onClose', async () => { await local.close() })
}, { name: 'local-store', fastify: '5.x' })
