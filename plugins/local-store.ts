import fp from 'fastify-plugin'
import type { FastifyInstance } from 'fastify'
import { DiskSlots } from '../services/disk/slots.ts'
import { LocalStoreError } from '../services/local/errors.ts'
import { createLocalStore, type LocalStore, type LocalStoreOptions } from '../services/local/store.ts'

/** The decorator's name, which no host's own can collide with. */
export const kLocalStore = Symbol('fastify-b2-uploads.local-store')

declare module 'fastify' {
  interface FastifyInstance {
    /** The directory that takes the files B2 could not. */
    [kLocalStore]: LocalStore
  }
}

export interface LocalStorePluginOptions extends LocalStoreOptions {
  /**
   * Whether the app may not start without a directory that can be written. When false, a bad one is a warning, and every
   * file tries again to make it. A full disk is always a warning: what waits there can be promoted, which frees it. So is one
   * that hangs: B2 needs no disk.
   */
  required: boolean
}

/** For all registrations in the process, as they share the threads of libuv's pool. */
export const diskSlots = new DiskSlots(Number(process.env['UV_THREADPOOL_SIZE']) || undefined)

async function localStore (app: FastifyInstance, options: LocalStorePluginOptions): Promise<void> {
  const { required, ...storeOptions } = options
  const store = createLocalStore({ log: app.log, slots: diskSlots, ...storeOptions })
  app.decorate(kLocalStore, store)
  app.addHook('onClose', () => store.close())

  try {
    await store.open()
  } catch (err) {
    if (err instanceof LocalStoreError && err.error_code === 'disk_full') {
      app.log.warn({ err, dir: store.dir }, 'the disk of the local storage directory (LOCAL_STORAGE_DIR) is full, or its quota is used up: no fallback until there is room')
      return
    }
    if (err instanceof LocalStoreError && err.isTimeout) {
      app.log.warn({ err, dir: store.dir }, 'the disk of the local storage directory (LOCAL_STORAGE_DIR) does not answer: no fallback until it does')
      return
    }
    const reason = err instanceof Error ? err.message : String(err)
    if (required) throw new Error(`The local storage directory "${store.dir}" (LOCAL_STORAGE_DIR) cannot be created or written. ${reason}`, { cause: err })
    app.log.warn({ err, dir: store.dir }, 'the local storage directory (LOCAL_STORAGE_DIR) cannot be created or written: no fallback until it can')
  }
}

export default fp(localStore, { name: 'local-store', fastify: '5.x' })
