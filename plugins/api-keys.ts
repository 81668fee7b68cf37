import bearerAuth from '@fastify/bearer-auth'
import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyRequest {
    /** True where the request has one of the API keys, or none is asked for. */
    hasApiKey: boolean
  }
}

export interface ApiKeysPluginOptions {
  /** Accepted bearer tokens, several so that they can be rotated; none: everybody may come in. */
  keys: readonly string[]
  /** Paths of routes, as they were registered, that need no key; nor do those below them. */
  open: readonly string[]
}

/** Asks every request for a bearer token (RFC 6750), before anything of its body is read. Decorates `request.hasApiKey`. */
export default fp<ApiKeysPluginOptions>(async (app, { keys, open }) => {
  app.decorateRequest('hasApiKey', keys.length === 0)
  if (keys.length === 0) return
  const options = { keys: new Set(keys), addHook: false, verifyErrorLogLevel: 'debug', specCompliance: 'rfc6749' } as const // whose schemes are in any case, as RFC 9110 has them
  await app.register(bearerAuth, options)
  const verify = app.verifyBearerAuthFactory!(options)
  app.addHook('onRequest', (request, reply, done) => {
    verify(request, reply, error => {
      request.hasApiKey = error === undefined
      const { url } = request.routeOptions
      if (error === undefined || url === undefined || !open.some(path => url === path || url.startsWith(`${path}/`))) return done(error)
      reply.code(200) // which the check has set to 401
      done()
    })
  })
}, { name: 'api-keys', fastify: '5.x' })
