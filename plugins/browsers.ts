import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import fp from 'fastify-plugin'

export interface BrowsersPluginOptions {
  /** Origins whose pages may call the service, `*` for all; none: only its own. */
  origins: readonly string[]
}

/** What a page elsewhere may read of an answer, beside what any may (https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name). */
const EXPOSED = [
  'location', 'x-correlation-id', 'retry-after', 'www-authenticate', 'etag', 'content-disposition', 'content-range', 'accept-ranges', 'repr-digest',
  'content-location', 'idempotency-replayed',
  'tus-resumable', 'tus-version', 'tus-extension', 'tus-max-size',
  'upload-offset', 'upload-length', 'upload-defer-length', 'upload-metadata', 'upload-expires',
  'ratelimit-limit', 'ratelimit-remaining', 'ratelimit-reset',
]
const PREFLIGHT_SECONDS = 600

/** What browsers are told: headers that make them careful with answers, and whose pages may call the service. */
export default fp<BrowsersPluginOptions>(async (app, { origins }) => {
  await app.register(helmet, {
    // Nothing here is a page; the documentation, which is one, says otherwise for itself.
    contentSecurityPolicy: { useDefaults: false, directives: { 'default-src': ["'none'"], 'frame-ancestors': ["'none'"] } },
    xFrameOptions: { action: 'deny' },
    // So that pages which may call the service may show its files, too.
    crossOriginResourcePolicy: { policy: origins.length > 0 ? 'cross-origin' : 'same-origin' },
    // Over plain HTTP it must not be sent (RFC 6797 §7.2): that is for whoever has the certificate.
    strictTransportSecurity: false,
  })
  if (origins.length === 0) return
  await app.register(cors, {
    origin: origins.includes('*') ? '*' : [...origins],
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposedHeaders: EXPOSED,
    maxAge: PREFLIGHT_SECONDS,
    // Its answer to an OPTIONS that is no preflight would have a shape of its own.
    strictPreflight: false,
  })
}, { name: 'browsers', fastify: '5.x' })
