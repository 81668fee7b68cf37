import { createHash } from 'node:crypto'
import bearerAuth from '@fastify/bearer-auth'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { allows, createKeyFinder } from '../services/config/api-keys.ts'
import type { ApiKey, Scope } from '../services/config/api-keys.ts'
import { UploadError } from '../services/upload-errors.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** True if the request has one of the API keys, or none is asked for. */
    hasApiKey: boolean
    /** Who sends it: the label of its API key, or else a hash of the key; empty if none is asked for. */
    caller: string
  }
  interface FastifyContextConfig {
    /** What an API key has to be good for; by default any key will do. */
    needsScope?: Scope
    /** Whether the route needs no key, like the paths that are open. */
    needsNoKey?: boolean
  }
}

export interface ApiKeysPluginOptions {
  /** Who may come in; none: everybody. */
  keys: readonly ApiKey[]
  /** Paths of routes, as they were registered, that need no key; nor do those below them. */
  open: readonly string[]
}

/**
 * Asks every request for a bearer token (RFC 6750) that is good for what the route does, before anything of its body is read.
 * The label of the key is in the request's log lines. Decorates `request.hasApiKey` and `request.caller`.
 */
export default fp<ApiKeysPluginOptions>(async (app, { keys, open }) => {
  app.decorateRequest('hasApiKey', keys.length === 0)
  app.decorateRequest('caller', '')
  if (keys.length === 0) return
  const find = createKeyFinder(keys)
  const callers = new Map(keys.map(key => [key, callerOfKey(key)]))
  const options = {
    keys: new Set<string>(),
    auth (token: string, request: FastifyRequest) {
      const key = find(token)
      if (key === undefined) return false
      asked.set(request, key)
      return true
    },
    addHook: false,
    verifyErrorLogLevel: 'debug',
    specCompliance: 'rfc6749', // whose schemes are in any case, as RFC 9110 has them
  } as const
  const asked = new WeakMap<FastifyRequest, ApiKey>()
  await app.register(bearerAuth, options)
  const verify = app.verifyBearerAuthFactory!(options)

  app.addHook('onRequest', (request, reply, done) => {
    verify(request, reply, error => {
      const key = asked.get(request)
      const { url, config } = request.routeOptions
      request.hasApiKey = key !== undefined
      if (key !== undefined) request.caller = callers.get(key)!
      if (key?.label !== undefined) request.log = reply.log = request.log.child({ api_key: key.label })
      reply.code(200) // which the check may have set to 401
      if (config.needsNoKey === true) return done()
      if (url !== undefined && open.some(path => url === path || url.startsWith(`${path}/`))) return done()
      if (key === undefined) return done(new UploadError('unauthorized', error?.message ?? 'There is no such key.'))
      done(refusalOf(key, config.needsScope, reply))
    })
  })
}, { name: 'api-keys', fastify: '5.x' })

/** A label is no token, and the other way round. */
function callerOfKey ({ label, token }: ApiKey): string {
  return label === undefined ? `token ${createHash('sha256').update(`fastify-b2-uploads caller ${token}`).digest('hex')}` : `label ${label}`
}

function refusalOf (key: ApiKey, scope: Scope | undefined, reply: FastifyReply): UploadError | undefined {
  if (scope === undefined || allows(key, scope)) return undefined
  reply.header('www-authenticate', `Bearer error="insufficient_scope", scope="${scope}"`) // RFC 6750 §3.1
  return new UploadError('forbidden', `This needs the scope "${scope}", which the API key does not have.`)
}
