import fp from 'fastify-plugin'
import { createUploads } from '../services/uploads.ts'
import type { UploadService, UploadsOptions } from '../services/uploads.ts'
import { kB2 } from './b2-client.ts'
import { kLocalStore } from './local-store.ts'

/** The decorator's name, which no host's own can collide with. */
export const kUploads = Symbol('fastify-b2-uploads.uploads')

declare module 'fastify' {
  interface FastifyInstance {
    /** Stores files in B2, or locally where B2 fails and until it is well again. */
    [kUploads]: UploadService
  }
}

export interface UploadsPluginOptions extends Omit<UploadsOptions, 'b2' | 'local' | 'log'> {
  /** Milliseconds that uploads, downloads and promotions under way get when the app closes. Default 30,000. */
  readonly shutdownGraceMs?: number | undefined
}

/** Decorates what stores, finds, moves and removes files, working with both stores. */
export default fp<UploadsPluginOptions>(async (app, { shutdownGraceMs = 30_000, ...options }) => {
  const uploads = createUploads({ ...options, b2: app[kB2], local: app[kLocalStore], log: app.log })
  app.decorate(kUploads, uploads)
  // Before the stores are closed, and before the server stops listening: who comes now is told so, rather than finding a closed port.
  app.addHook('preClose', async () => { await uploads.close(shutdownGraceMs) })
}, { name: 'uploads', fastify: '5.x', dependencies: ['b2-client', 'local-store'] })
