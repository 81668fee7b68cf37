import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { isProduction, parseConfig } from '../services/config/config.ts'
import type { Environment } from '../services/config/config.ts'
import type { Config } from '../services/config/schema.ts'

declare module 'fastify' {
  interface FastifyInstance {
    config: Config
  }
}

export interface ConfigPluginOptions {
  /** The environment to read, usually `process.env`. Required: nothing here looks at the process by itself. */
  env?: Environment | undefined
}

/**
 * Decorates `app.config` with the parsed environment, and says in the log what an operator should know about it.
 *
 * @throws {ConfigError} (as a rejection of `app.ready()`) naming every bad or missing variable
 */
async function config (app: FastifyInstance, options: ConfigPluginOptions) {
  if (options.env === undefined) throw new TypeError('The config plugin needs the option `env`, the environment to read')

  const config = parseConfig(options.env)
  app.decorate('config', config)

  if (isProduction(config) && config.API_KEYS.length === 0) {
    app.log.warn('API_KEYS is not set: the upload endpoint is open to everyone who can reach it. ' +
      'Set API_KEYS, or make sure that something in front of the service authenticates')
  }
  // By numbers: before the change, what is the label now was the beginning of a secret.
  const oneColon = config.API_KEYS.flatMap(({ label, scopes }, index) => label === undefined || scopes !== undefined ? [] : index + 1)
  if (oneColon.length > 0) {
    app.log.warn(`API_KEYS: entry ${oneColon.join(', ')} has one colon, and is read as label:token. In version 1.0 it was a token, colon and all: ` +
      'clients that send it so are refused now. Where label:token is meant, say what the key may do (label:token:upload+read, say), and this warning ends')
  }
}

export default fp(config, { name: 'config', fastify: '5.x' })
