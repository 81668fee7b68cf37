import type { TSchema } from '@sinclair/typebox'
import { SHORTEST_TOKEN } from './api-keys.ts'
import { ConfigError, InvalidValue } from './errors.ts'
import { ConfigSchema, MAX_PARTS } from './schema.ts'
import type { Config, Variable } from './schema.ts'
import { readValue } from './values.ts'

/** Environment variables by name, `process.env` for one. */
export type Environment = Record<string, string | undefined>

type Problem = { variable: Variable, message: string }
const B2_VARIABLES = ['B2_ENDPOINT', 'B2_REGION', 'B2_BUCKET', 'B2_APPLICATION_KEY_ID', 'B2_APPLICATION_KEY'] as const
type B2Variable = typeof B2_VARIABLES[number]

const names = Object.keys(ConfigSchema.properties) as Variable[]
const schemas: Record<Variable, TSchema> = ConfigSchema.properties

/** Whether `ENV` or `NODE_ENV` says `production` (in any case, since a typo must not make the service lax). */
export function isProduction (config: Pick<Config, 'ENV' | 'NODE_ENV'>): boolean {
  return [config.ENV, config.NODE_ENV].some(name => name.toLowerCase() === 'production')
}

/**
 * The variables that B2 still needs; empty when it can be used. The region is one of them only beside an endpoint from
 * which it can't be derived: without an endpoint nobody knows yet whether it will have to be given.
 */
export function missingB2 (config: Pick<Config, B2Variable>): B2Variable[] {
  return B2_VARIABLES.filter(name =>
    config[name] === undefined && (name !== 'B2_REGION' || config.B2_ENDPOINT !== undefined))
}

/** The region in `s3.<region>.backblazeb2.com`. A bucket's own host name has a label more and is no endpoint. */
function regionOf (endpoint: string): string | undefined {
  const [, region, ...domain] = new URL(endpoint).hostname.split('.')
  return domain.join('.') === 'backblazeb2.com' && region !== '' ? region : undefined
}

/** Rules between variables. One that is bad itself has said so already, and nothing can be held against it. */
function conflicts (config: Config, isBad: (name: Variable) => boolean): Problem[] {
  const { B2_PART_BYTES: part, UPLOAD_MAX_BYTES: file, REPLAY_WINDOW_BYTES: window, MEMORY_BUDGET_BYTES: budget } = config
  const problems: Problem[] = []
  if (file > MAX_PARTS * part && !isBad('B2_PART_BYTES') && !isBad('UPLOAD_MAX_BYTES')) {
    problems.push({
      variable: 'UPLOAD_MAX_BYTES',
      message: `must fit ${MAX_PARTS} parts, so be at most ${MAX_PARTS * part}, not ${file}, ` +
        `or B2_PART_BYTES must be at least ${Math.ceil(file / MAX_PARTS)}`
    })
  }
  const needed = window + 2 * part
  if (budget < needed && !isBad('B2_PART_BYTES') && !isBad('REPLAY_WINDOW_BYTES') && !isBad('MEMORY_BUDGET_BYTES')) {
    problems.push({
      variable: 'MEMORY_BUDGET_BYTES',
      message: `must hold one replay window and two parts, so be at least ${needed}, not ${budget}, ` +
        'or REPLAY_WINDOW_BYTES or B2_PART_BYTES must be smaller'
    })
  }
  const { B2_UNFINISHED_MAX_AGE_MS: unfinished, RESUMABLE_MAX_AGE_MS: resumable } = config
  if (unfinished !== 0 && unfinished <= resumable && !isBad('B2_UNFINISHED_MAX_AGE_MS') && !isBad('RESUMABLE_MAX_AGE_MS')) {
    problems.push({
      variable: 'B2_UNFINISHED_MAX_AGE_MS',
      message: `must be 0 or more than RESUMABLE_MAX_AGE_MS, so at least ${resumable + 1}, not ${unfinished}, or RESUMABLE_MAX_AGE_MS must be smaller`
    })
  }
  return problems
}

/**
 * Reads the configuration. An empty value, or one of white space alone, counts as unset; white space around a value is
 * dropped (secrets mounted from files end in a newline). In production the variables of B2 are required.
 *
 * @throws {ConfigError} naming every variable that is bad or missing
 */
export function parseConfig (env: Environment): Config {
  const problems: Problem[] = []
  const values: Record<string, unknown> = {}

  for (const name of names) {
    const schema = schemas[name]
    const text = env[name]?.trim() ?? ''
    // A list is copied, so that nobody who changes his own changes the default.
    if (schema.default !== undefined) values[name] = structuredClone(schema.default)
    if (text === '') continue
    try {
      values[name] = readValue(name, schema, text)
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error
      problems.push({ variable: name, message: error.message })
    }
  }

  // Complete and in range, but for the bad ones, which stand at their defaults and never leave here.
  const config = values as Config
  const bad = new Set<Variable>(problems.map(({ variable }) => variable))
  const region = config.B2_REGION ?? (config.B2_ENDPOINT && regionOf(config.B2_ENDPOINT))
  if (region !== undefined) config.B2_REGION = region

  problems.push(...conflicts(config, name => bad.has(name)))
  if (isProduction(config)) {
    const short = config.API_KEYS.findIndex(({ token }) => token.length < SHORTEST_TOKEN)
    if (short !== -1 && !bad.has('API_KEYS')) {
      problems.push({ variable: 'API_KEYS', message: `must have tokens of at least ${SHORTEST_TOKEN} characters in production, such as openssl rand -hex 32 makes; number ${short + 1} is shorter` })
    }
    for (const variable of missingB2(config)) {
      if (bad.has(variable)) continue
      problems.push({
        variable,
        message: variable === 'B2_REGION'
          ? 'must be set in production (it can\'t be derived from B2_ENDPOINT)'
          : 'must be set in production'
      })
    }
  }
  if (problems.length > 0) throw new ConfigError(problems.sort((a, b) => names.indexOf(a.variable) - names.indexOf(b.variable)))
  return config
}
