import fp from 'fastify-plugin'
import type { Engine } from '../services/engine.ts'
import type { UploadService } from '../services/uploads.ts'

/** The decorator's name, which no host's own can collide with. */
export const kUploads = Symbol('fastify-b2-uploads.uploads')

declare module 'fastify' {
  interface FastifyInstance {
    /** Stores files in B2, or locally if B2 fails and until it recovers. */
    [kUploads]: UploadService
  }
}

export interface UploadsPluginOptions extends Pick<Engine, 'uploads'> {
  /** Milliseconds that uploads, downloads and promotions under way get when the app closes. */
  readonly shutdownGraceMs: number
}

/** Decorates what stores, finds, moves and removes files, and closes it with the app: register it after the stores. */
export default fp<UploadsPluginOptions>(async (app, { uploads, shutdownGraceMs }) => {
  app.decorate(kUploads, uploads)
  let closed: Promise<void> | undefined
  // Before the server stops listening: who comes now is told so, rather than finding a closed port.
  app.addHook('preClose', async () => {
    closed = uploads.close(shutdownGraceMs)
    await atMost(closed, app.initialConfig.pluginTimeout)
  })
  // Before the stores are closed.
  app.addHook('onClose', async () => { await closed })
}, { name: 'uploads', fastify: '5.x' })

/** Fastify takes a `preClose` hook that lasts as long as `pluginTimeout` for one that hangs, and its `close` rejects. */
const TIMEOUT_MARGIN_MS = 500

/** Waits for `promise`, but less long than a hook may last, where there is such a time (0: there is none). */
async function atMost (promise: Promise<void>, hookTimeoutMs = 0): Promise<void> {
  if (hookTimeoutMs === 0) return await promise
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>(resolve => { timer = setTimeout(resolve, Math.max(0, hookTimeoutMs - TIMEOUT_MARGIN_MS)) })
  await Promise.race([promise, late]).finally(() => clearTimeout(timer))
}
