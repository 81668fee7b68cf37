import { MAX_PART_BYTES, MAX_PARTS, MAX_TIMER_MS } from './schema.ts'
import { keyPrefixFault } from '../file-names.ts'

/** Says what an option must be where it isn't; undefined: it is. */
type Rule = (value: unknown) => string | undefined
type Rules = Record<string, Rule>

const rule = (must: string, holds: (value: unknown) => boolean): Rule => value => holds(value) ? undefined : must
const optional = (inner: Rule): Rule => value => value === undefined ? undefined : inner(value)
const isWhole = (value: unknown, least: number, most = Number.MAX_SAFE_INTEGER): boolean => Number.isInteger(value) && Number(value) >= least && Number(value) <= most

const count = (least = 1, most?: number): Rule =>
  optional(rule(`a whole number of at least ${least}${most === undefined ? '' : ` and at most ${most}`}`, value => isWhole(value, least, most)))
const bytes = (least: number, most?: number): Rule =>
  optional(rule(`a whole number of bytes of at least ${least}${most === undefined ? '' : ` and at most ${most}`}`, value => isWhole(value, least, most)))
const milliseconds = (least = 100): Rule => optional(rule(`a whole number of milliseconds of at least ${least}`, value => isWhole(value, least, MAX_TIMER_MS)))
const yesOrNo = optional(rule('true or false', value => typeof value === 'boolean'))
const callback = optional(rule('a function', value => typeof value === 'function'))
const text = rule('a text that is not empty', value => typeof value === 'string' && value !== '')

const B2_RULES: Rules = {
  endpoint: rule('an http:// or https:// URL, such as https://s3.us-west-004.backblazeb2.com', isHttpUrl),
  region: text,
  bucket: text,
  applicationKeyId: text,
  applicationKey: text,
  connectTimeoutMs: milliseconds(),
  stallTimeoutMs: milliseconds(),
  ackTimeoutMs: optional(rule('0, or a whole number of milliseconds of at least 100', value => value === 0 || isWhole(value, 100, MAX_TIMER_MS))),
  maxAttempts: count(),
  partBytes: bytes(5_242_880, MAX_PART_BYTES), // 5 MiB, the smallest part B2 takes
  concurrency: count(),
  forcePathStyle: yesOrNo,
  unfinishedMaxAgeMs: optional(rule('0, or a whole number of milliseconds of at least 86400000, a day', value => value === 0 || isWhole(value, 86_400_000))),
  signParts: yesOrNo,
}

const LOCAL_RULES: Rules = {
  dir: text,
  minFreeBytes: bytes(0),
  required: yesOrNo,
}

const DOWNLOADS_RULES: Rules = {
  maxConcurrent: count(),
  idleTimeoutMs: milliseconds(),
}

const METRICS_RULES: Rules = {
  registry: rule('a Registry of prom-client', value => typeof Object(value).registerMetric === 'function'),
  prefix: optional(rule('a text of letters, digits, underscores and colons, without a digit first', value => typeof value === 'string' && /^([a-zA-Z_:][a-zA-Z0-9_:]*)?$/.test(value))),
}

const RULES: Rules = {
  prefix: optional(rule('a path that begins with /', value => value === '' || (typeof value === 'string' && value.startsWith('/')))),
  routes: yesOrNo,
  decoratorName: optional(text),
  preHandler: optional(rule('a function, or a list of functions', value => [value].flat().every(each => typeof each === 'function'))),
  missing: optional(rule('a list of names', value => Array.isArray(value) && value.every(name => typeof name === 'string'))),
  keyPrefix: optional(value => typeof value === 'string' ? keyPrefixFault(value) : 'a text'),
  maxBytes: bytes(1),
  maxConcurrent: count(),
  allowedTypes: optional(rule('a list of media types, such as audio/*', isListOfTypes)),
  idleTimeoutMs: milliseconds(),
  minRate: count(0),
  windowBytes: bytes(1_048_576), // 1 MiB
  memoryBudgetBytes: bytes(33_554_432), // 32 MiB
  breakerThreshold: count(0),
  breakerResetMs: milliseconds(),
  promoteIntervalMs: optional(value => value === 0 ? undefined : milliseconds()(value) && '0, or a whole number of milliseconds of at least 100'),
  promoteConcurrency: count(1, 32),
  shutdownGraceMs: milliseconds(0),
  onStored: callback,
  onPromoted: callback,
}

/**
 * Checks the plugin's options, of which nothing but types is known. Others at the top level are let be: what registers
 * plugins often gives all of them the same.
 * @throws {TypeError} naming the first bad option, without its value, which may be a secret
 */
export function checkOptions (options: unknown): void {
  const { b2, local, metrics, downloads, ...rest } = Object(options) as Record<string, unknown>
  check('', rest, RULES)
  if (b2 !== undefined) checkAll('b2', b2, B2_RULES)
  checkAll('local', local, LOCAL_RULES)
  if (downloads !== undefined) checkAll('downloads', downloads, DOWNLOADS_RULES)
  if (metrics !== undefined) checkAll('metrics', metrics, METRICS_RULES)
  const { partBytes = 8_388_608 } = Object(b2) as { partBytes?: number } // 8 MiB
  if (b2 !== undefined && Number(rest['maxBytes'] ?? 0) > MAX_PARTS * partBytes) {
    throw badOption('maxBytes', `at most ${MAX_PARTS * partBytes}, the bytes of ${MAX_PARTS} parts: or set a larger b2.partBytes`)
  }
}

function checkAll (name: string, value: unknown, rules: Rules): void {
  if (typeof value !== 'object' || value === null) throw badOption(name, `an object with ${required(rules)}`)
  for (const key of Object.keys(value)) {
    if (!Object.hasOwn(rules, key)) throw new TypeError(`fastify-b2-uploads: there is no option ${name}.${key}; there are ${Object.keys(rules).join(', ')}`)
  }
  check(`${name}.`, value as Record<string, unknown>, rules)
}

/** What an object must have; of those that need nothing, what it can have. */
function required (rules: Rules): string {
  const names = Object.keys(rules)
  const needed = names.filter(name => rules[name]!(undefined) !== undefined)
  return (needed.length > 0 ? needed : names).join(', ')
}

function check (path: string, values: Record<string, unknown>, rules: Rules): void {
  for (const [name, rule] of Object.entries(rules)) {
    const must = rule(values[name])
    if (must !== undefined) throw badOption(`${path}${name}`, must)
  }
}

/** What to throw for an option that is not as it must be. */
export function badOption (name: string, must: string): TypeError {
  return new TypeError(`fastify-b2-uploads: the option ${name} must be ${must}`)
}

function isHttpUrl (value: unknown): boolean {
  return typeof value === 'string' && URL.canParse(value) && /^https?:$/.test(new URL(value).protocol)
}

function isListOfTypes (value: unknown): boolean {
  return Array.isArray(value) && value.every(type => typeof type === 'string' && /^[\w!#$&^.+-]+\/(\*|[\w!#$&^.+-]+)$/.test(type))
}
