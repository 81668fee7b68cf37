import fp from 'fastify-plugin'
import { createUploads } from '../services/uploads.ts'
import type { Uploads, UploadsOptions } from '../services/uploads.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Stores files in B2, or locally where B2 fails and until it is well again. */
    uploads: Uploads
  }
}

export interface UploadsPluginOptions extends Omit<UploadsOptions, 'b2' | 'local' | 'log'> {
  /** Milliseconds that uploads and promotions under way get when the app closes. Default 30,000. */
  readonly shutdownGraceMs?: number | undefined
}

/** Decorates `app.uploads`, working with `app.b2` and `app.localStore`. */
export default fp<UploadsPluginOptions>(async (app, { shutdownGraceMs = 30_000, ...options }) => {
  const uploads = createUploads({ ...options, b2: app.b2, local: app.localStore, log: app.log })
  app.decorate('uploads', uploads)
  // Before the stores are closed, and before the server stops listening: who comes now is told so, rather than finding a closed port.
  app.addHook('preClose', async () => { await uploads.close(shutdownGraceMs) })
}, { name: 'uploads', fastify: '5.x', dependencies: ['b2-client', 'local-store'] })
