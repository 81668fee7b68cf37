import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import b2Client from './plugins/b2-client.ts'
import correlationId from './plugins/correlation-id.ts'
import localStore, { diskSlots } from './plugins/local-store.ts'
import uploads from './plugins/uploads.ts'
import { addSchemas } from './routes/http/answer-schemas.ts'
import contentRoutes from './routes/content.ts'
import receiptRoutes from './routes/receipts.ts'
import resumableRoutes from './routes/resumable/routes.ts'
import uploadRoutes from './routes/uploads.ts'
import type { UploadRoutesOptions } from './routes/uploads.ts'
import { checkOptions } from './services/config/check-options.ts'
import { parseConfig } from './services/config/config.ts'
import type { Environment } from './services/config/config.ts'
import { createEngine } from './services/engine.ts'
import type { B2Options } from './services/engine.ts'
import type { MetricsOptions } from './services/metrics.ts'
import { optionsFromConfig, withDefaults } from './services/config/options.ts'
import type { Receipt } from './services/receipt.ts'
import type { Uploads, UploadSettings } from './services/uploads.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Stores files in B2, or locally if B2 fails and until it recovers. */
    uploads: Uploads
  }
}

/** Options of the plugin. */
export interface B2UploadsOptions extends Omit<UploadSettings, 'onStored'>, Pick<UploadRoutesOptions, 'preHandler' | 'caller'> {
  /** Put before the routes' paths, such as `/media`. Default none. */
  readonly prefix?: string
  /** False for `app.uploads` alone. Default true. */
  readonly routes?: boolean | undefined
  /**
   * Name of the decorator, for an app that registers the plugin more than once: `app.uploads` by default, and by another
   * name `app.getDecorator<Uploads>(name)`, or a declaration of yours.
   */
  readonly decoratorName?: string | undefined
  /**
   * Called with the receipt of each file that was stored, in B2 or locally, before the upload is answered: the client and
   * one of `maxConcurrent` wait for it, until the app closes. A failure is logged, and the file stays stored. `request` is
   * the one that brought the file, with all that the host's hooks know of it (its user, say); undefined for `store()`. It is called again, with
   * `isReplay`, for an upload that repeats its Idempotency-Key: the process may have been killed before the first call.
   */
  readonly onStored?: ((receipt: Receipt, context: { readonly request: FastifyRequest | undefined, readonly isReplay?: boolean }) => unknown) | undefined
  /** Where to count and measure, with prom-client. Default: nowhere. */
  readonly metrics?: MetricsOptions | undefined
  /** The bucket and how to reach it; without it all files are stored locally. */
  readonly b2?: B2Options | undefined
  /** Variables that `b2` would need and that are not set: a warning names them. {@link optionsFromEnv} gives them. */
  readonly missing?: readonly string[] | undefined
  /** The fallback directory. */
  readonly local: {
    /** Created when missing. No other registration in the process may have it with another bucket. */
    readonly dir: string
    /** Bytes of free space to keep. Default 0. */
    readonly minFreeBytes?: number | undefined
    /** Whether registering fails where the directory can't be used. Default false: a warning, as a full disk always is. */
    readonly required?: boolean | undefined
  }
}

/**
 * The plugin's options as the environment gives them, by the variables of docs/configuration.md; those of the service alone (`HOST`, `API_KEYS`
 * and so on) are checked, too, and mean nothing to the plugin. No `.env` file is read.
 * @throws {@link ConfigError} naming every bad one.
 */
export function optionsFromEnv (env: Environment = process.env): B2UploadsOptions {
  return optionsFromConfig(parseConfig(env))
}

const b2Uploads: FastifyPluginAsync<B2UploadsOptions> = async (app, options) => {
  checkOptions(options)
  const { prefix, routes = true, decoratorName = 'uploads', preHandler, caller, onStored, local, ...rest } = withDefaults('', options)
  // A scope of its own, so that the host sees nothing of this but the decorator and the routes.
  await app.register(async scope => {
    const engine = await createEngine({
      ...rest,
      local: { ...local, slots: diskSlots },
      log: app.log,
      // The routes hand over their own requests, and nobody else does.
      ...(onStored === undefined ? {} : { onStored: (receipt, { request, ...more }) => onStored(receipt, { request: request as FastifyRequest | undefined, ...more }) }),
    })
    const own = engine.uploads
    scope.addHook('onClose', async () => { engine.metrics?.close() })
    await scope.register(localStore, engine)
    await scope.register(b2Client, engine)
    await scope.register(uploads, { uploads: own, shutdownGraceMs: rest.shutdownGraceMs })
    app.decorate(decoratorName, own as never)
    if (!routes) return
    await scope.register(async inner => {
      addSchemas(inner)
      await inner.register(correlationId)
      await inner.register(uploadRoutes, { uploads: own, maxBytes: rest.maxBytes, preHandler, caller })
      await inner.register(receiptRoutes, { uploads: own, preHandler })
      if (own.resumables !== undefined) await inner.register(resumableRoutes, { uploads: own, resumables: own.resumables, preHandler, caller })
      await inner.register(contentRoutes, { uploads: own, preHandler })
    }, prefix === undefined ? {} : { prefix })
  })
}

/**
 * The plugin, also the default export: decorates the app with {@link Uploads}, and adds the routes. A bad option rejects
 * `app.ready()` with a `TypeError` that names it.
 */
const plugin = fp(b2Uploads, { name: 'fastify-b2-uploads', fastify: '5.x' })

export default plugin
export { plugin as b2Uploads }
export { rewriteUrl } from './routes/http/request-target.ts'
export { ConfigError } from './services/config/errors.ts'
export { ClientGoneError, UploadError } from './services/upload-errors.ts'
export type { DownloadsOptions } from './services/downloads/downloads.ts'
export type { Uploads, StoreInfo, FileInfo, UploadsStatus, UploadsWaiting } from './services/uploads.ts'
export type { StoredContent, StoredFile } from './services/stored-files.ts'
export type { ByteRange } from './services/downloads/byte-range.ts'
export type { ResumableOptions } from './services/resumable/options.ts'
export type { Receipt, StoredInB2, StoredLocally, StoredSplit, SplitBytes, Track, FallbackReason } from './services/receipt.ts'
export type { AudioTags } from './services/audio/tags.ts'
export type { PromoteOptions, PromotionProgress, PromotionReport } from './services/promotion/promoter.ts'
export type { B2Options } from './services/engine.ts'
export type { MetricsOptions, MetricsRegistry } from './services/metrics.ts'
export type { CircuitState } from './services/circuit-breaker.ts'
export type { LocalStoreStatus } from './services/local/store.ts'
export type { Environment } from './services/config/config.ts'
export type { B2ErrorCode } from './services/b2/error-codes.ts'
export type { UploadErrorCode } from './services/upload-errors.ts'
