import rateLimit from '@fastify/rate-limit'
import type { onRequestHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { UploadError } from '../services/upload-errors.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether the route takes a file. */
    takesUpload?: boolean
  }
}

export interface RateLimitPluginOptions {
  /** Uploads per client address and window; 0 for no limit. */
  max: number
  /** Milliseconds. */
  windowMs: number
}

/** Addresses that are counted at once; the one that was seen longest ago is forgotten for another. */
const MOST_ADDRESSES = 20_000

/**
 * Limits how often a client address may upload, over all routes that take files, and before anything of a body is read.
 * An IPv6 client is its /64 network. The address is the one that `trustProxy` makes it.
 */
export default fp<RateLimitPluginOptions>(async (app, { max, windowMs }) => {
  if (max === 0) return
  await app.register(rateLimit, {
    global: false,
    cache: MOST_ADDRESSES,
    enableDraftSpec: true,
    errorResponseBuilder: () => new UploadError('too_many_requests', `More than ${max} uploads came from this address within ${windowMs / 1_000} seconds.`),
  })
  const limit = app.rateLimit({ max, timeWindow: windowMs }) as onRequestHookHandler
  app.addHook('onRoute', route => {
    if (route.config?.takesUpload !== true) return
    route.onRequest = [route.onRequest ?? [], limit].flat()
  })
}, { name: 'rate-limit', fastify: '5.x' })
