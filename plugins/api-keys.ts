import bearerAuth from '@fastify/bearer-auth'
import fp from 'fastify-plugin'

export interface ApiKeysPluginOptions {
  /** Accepted bearer tokens, several so that they can be rotated; none: everybody may come in. */
  keys: readonly string[]
  /** Paths of routes, as they were registered, that need no key. */
  open: readonly string[]
}

/** Asks every request for a bearer token (RFC 6750), before anything of its body is read. */
export default fp<ApiKeysPluginOptions>(async (app, { keys, open }) => {
  if (keys.length === 0) return
  const options = { keys: new Set(keys), addHook: false, verifyErrorLogLevel: 'debug' } as const
  await app.register(bearerAuth, options)
  const verify = app.verifyBearerAuthFactory!(options)
  app.addHook('onRequest', (request, reply, done) => {
    const { url } = request.routeOptions
    if (url !== undefined && open.includes(url)) done()
    else verify(request, reply, done)
  })
}, { name: 'api-keys', fastify: '5.x' })
