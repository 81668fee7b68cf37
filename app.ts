import type { Server } from 'node:http'
import { LogController } from 'fastify'
import type { FastifyHttpOptions, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { Registry } from 'prom-client'
import b2Uploads from './index.ts'
import apiKeys from './plugins/api-keys.ts'
import browsers from './plugins/browsers.ts'
import config from './plugins/config.ts'
import connections from './plugins/connections.ts'
import documentation, { DOCUMENTATION_PATH } from './plugins/documentation.ts'
import correlationId, { correlationIdOf } from './plugins/correlation-id.ts'
import rateLimit from './plugins/rate-limit.ts'
import { answerError } from './routes/http/error-answer.ts'
import { deferContinue } from './routes/body/expect-continue.ts'
import health from './routes/health.ts'
import metrics from './routes/metrics.ts'
import { answerParserError } from './routes/http/parser-error.ts'
import ready from './routes/ready.ts'
import { rewriteUrl } from './routes/http/request-target.ts'
import { addSchemas } from './routes/http/answer-schemas.ts'
import { ignoreUpgradeOffers } from './routes/http/upgrade-offer.ts'
import { codedUnderHttp10 } from './routes/body/upload-checks.ts'
import { parseConfig } from './services/config/config.ts'
import type { Environment } from './services/config/config.ts'
import { optionsFromConfig } from './services/config/options.ts'
import { processMetrics } from './services/process/process-metrics.ts'
import { UploadError } from './services/upload-errors.ts'

const HOOK_ALLOWANCE_MS = 10_000

/** What the service needs of its Fastify instance. @throws {ConfigError} naming every bad variable. */
export function serverOptions (env: Environment): FastifyHttpOptions<Server> {
  const { LOG_LEVEL, TRUST_PROXY, SHUTDOWN_GRACE_MS } = parseConfig(env)
  return {
    logger: { level: LOG_LEVEL },
    trustProxy: TRUST_PROXY,
    genReqId: correlationIdOf,
    rewriteUrl,
    // Each upload has its own closing line.
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'correlation_id' }),
    // An upload takes as long as it takes; the idle rule ends those that stand still.
    requestTimeout: 0,
    connectionTimeout: 0,
    // Hooks are bound by it when the app closes, too; Fastify's own 10 seconds would be the end of the grace.
    pluginTimeout: SHUTDOWN_GRACE_MS + HOOK_ALLOWANCE_MS,
    // While it closes, uploads are refused in the service's own shape; all else is still answered.
    return503OnClosing: false,
    // A missing Host header would be answered by Node itself, in another shape.
    http: { requireHostHeader: false },
    frameworkErrors: (error, request, reply) => {
      reply.header('x-correlation-id', correlationIdOf(request.raw)).header('x-content-type-options', 'nosniff')
      answerError(error, request, reply as never)
    },
    clientErrorHandler: answerParserError,
  }
}

export interface ServiceOptions {
  /** The environment that configures the service. */
  env: Environment
}

/** The REST service: the plugin, and what a service of its own needs around it. */
const service: FastifyPluginAsync<ServiceOptions> = async (app, { env }) => {
  await app.register(config, { env })
  const { API_KEYS, CORS_ORIGIN, RATE_LIMIT_MAX, RATE_LIMIT_WINDOW_MS } = app.config
  await app.register(correlationId)
  await app.register(browsers, { origins: CORS_ORIGIN })
  app.setErrorHandler((error, request, reply) => { answerError(error, request, reply) })
  app.setNotFoundHandler((request, reply) => {
    answerError(new UploadError('not_found', `There is no ${request.method} ${request.url.split('?', 1)[0]}.`), request, reply)
  })
  app.addHook('onRequest', async (request, reply) => {
    const { host, expect, 'transfer-encoding': coding } = request.headers
    if (host === undefined && request.raw.httpVersion === '1.1') {
      throw new UploadError('invalid_request', 'The request has no Host header.')
    }
    // Node takes any list that ends in `chunked`, and would give the bytes as they are: gzipped, for instance (RFC 9112 §6.1).
    if (coding !== undefined && request.raw.httpVersion === '1.0') {
      reply.header('connection', 'close')
      throw codedUnderHttp10()
    }
    if (coding !== undefined && coding.toLowerCase() !== 'chunked') {
      reply.header('connection', 'close')
      throw new UploadError('invalid_request', 'The request has a transfer coding other than chunked.')
    }
    if (expect !== undefined && !/(?:^|\W)100-continue(?:$|\W)/i.test(expect)) {
      throw new UploadError('invalid_request', 'The request expects what nobody here can do: see its Expect header.', { statusCode: 417 })
    }
  })
  // A client may close its side after its last byte. Node would then drop what has come but was not read yet, and the answer.
  Object.assign(app.server, { httpAllowHalfOpen: true }) // missing in Node's types
  // Node would answer these by itself, in another shape.
  app.server.on('checkExpectation', (request, response) => { app.routing(request, response) })
  deferContinue(app)
  ignoreUpgradeOffers(app)
  await app.register(apiKeys, { keys: API_KEYS, open: ['/health', '/ready', DOCUMENTATION_PATH] })
  await app.register(rateLimit, { max: RATE_LIMIT_MAX, windowMs: RATE_LIMIT_WINDOW_MS })
  await app.register(documentation)
  addSchemas(app)
  const registry = new Registry()
  await app.register(b2Uploads, { ...optionsFromConfig(app.config), metrics: { registry }, caller: request => request.caller })
  await app.register(connections)
  await app.register(health)
  await app.register(ready)
  await app.register(metrics, { registries: [processMetrics(), registry] })
}

export default fp(service, { name: 'service', fastify: '5.x' })
