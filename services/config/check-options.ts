import type { IntegerOptions, TSchema } from '@sinclair/typebox'
import { keyPrefixFault } from '../keys.ts'
import { badOption } from './errors.ts'
import { schemasOf, withDefaults } from './options.ts'
import type { Group } from './options.ts'
import { ConfigSchema, MAX_PARTS } from './schema.ts'

/** Says what an option must be where it isn't; undefined: it is. */
type Rule = (value: unknown) => string | undefined
type Rules = Record<string, Rule>

const rule = (must: string, holds: (value: unknown) => boolean): Rule => value => holds(value) ? undefined : must
const optional = (inner: Rule): Rule => value => value === undefined ? undefined : inner(value)
const yesOrNo = optional(rule('true or false', value => typeof value === 'boolean'))
const callback = optional(rule('a function', value => typeof value === 'function'))
const text = rule('a text that is not empty', value => typeof value === 'string' && value !== '')

function wholeNumber ({ unit, minimum = 0, maximum = Number.MAX_SAFE_INTEGER }: IntegerOptions): Rule {
  const most = maximum === Number.MAX_SAFE_INTEGER ? '' : ` and at most ${maximum}`
  return optional(rule(`a whole number ${unit === '' ? '' : `of ${unit} `}of at least ${minimum}${most}`,
    value => Number.isSafeInteger(value) && Number(value) >= minimum && Number(value) <= maximum))
}

function zeroOr (inner: Rule): Rule {
  return value => value === 0 ? undefined : inner(value) && `0, or ${inner(value)}`
}

function oneOf (choices: unknown[]): Rule {
  return optional(rule(`one of ${choices.join(', ')}`, value => choices.includes(value)))
}

/** By the schema of the variable that says the same. */
function ruleOf (schema: TSchema): Rule {
  if (schema.type === 'integer') return wholeNumber(schema)
  if (schema.type === 'boolean') return yesOrNo
  if (schema.anyOf === undefined) return text
  const choices = schema.anyOf as TSchema[]
  const range = choices.find(({ type }) => type === 'integer')
  return range === undefined ? oneOf(choices.map(({ const: choice }) => choice)) : zeroOr(wholeNumber(range as IntegerOptions))
}

const rulesOf = (group: Group): Rules => Object.fromEntries(schemasOf(group).map(([option, schema]) => [option, ruleOf(schema)]))

const { UPLOAD_MAX_BYTES, SHUTDOWN_GRACE_MS } = ConfigSchema.properties

const B2_RULES: Rules = {
  ...rulesOf('b2'),
  endpoint: rule('an http:// or https:// URL, such as https://s3.us-west-004.backblazeb2.com', isHttpUrl),
  concurrency: wholeNumber({ unit: '', minimum: 1 }),
  signParts: yesOrNo,
}

const LOCAL_RULES: Rules = { ...rulesOf('local'), required: yesOrNo }

const METRICS_RULES: Rules = {
  registry: rule('a Registry of prom-client', value => typeof Object(value).registerMetric === 'function'),
  prefix: optional(rule('a text of letters, digits, underscores and colons, without a digit first', value => typeof value === 'string' && /^([a-zA-Z_:][a-zA-Z0-9_:]*)?$/.test(value))),
}

const RULES: Rules = {
  prefix: optional(rule('a path that begins with /', value => value === '' || (typeof value === 'string' && value.startsWith('/')))),
  routes: yesOrNo,
  decoratorName: optional(text),
  caller: callback,
  preHandler: optional(rule('a function, or a list of functions', value => [value].flat().every(each => typeof each === 'function'))),
  missing: optional(rule('a list of names', value => Array.isArray(value) && value.every(name => typeof name === 'string'))),
  ...rulesOf(''),
  keyPrefix: optional(value => typeof value === 'string' ? keyPrefixFault(value) : 'a text'),
  maxBytes: wholeNumber({ ...UPLOAD_MAX_BYTES, maximum: Number.MAX_SAFE_INTEGER }), // B2's parts bound it below, if there is B2
  allowedTypes: optional(rule('a list of media types, such as audio/*', isListOfTypes)),
  shutdownGraceMs: wholeNumber({ ...SHUTDOWN_GRACE_MS, minimum: 0 }), // as tests of a host want it
  onStored: callback,
  onPromoted: callback,
}

/**
 * Checks the plugin's options, of which nothing but types is known. Others at the top level are let be: what registers
 * plugins often gives all of them the same.
 * @throws {TypeError} naming the first bad option, without its value, which may be a secret
 */
export function checkOptions (options: unknown): void {
  const { b2, local, metrics, downloads, resumable, ...rest } = Object(options) as Record<string, unknown>
  check('', rest, RULES)
  if (b2 !== undefined) checkAll('b2', b2, B2_RULES)
  checkAll('local', local, LOCAL_RULES)
  if (downloads !== undefined) checkAll('downloads', downloads, rulesOf('downloads'))
  if (resumable !== undefined && resumable !== false) checkAll('resumable', resumable, rulesOf('resumable'), ', or false')
  if (metrics !== undefined) checkAll('metrics', metrics, METRICS_RULES)
  const { partBytes, unfinishedMaxAgeMs } = withDefaults('b2', Object(b2) as object)
  if (b2 !== undefined && Number(rest['maxBytes'] ?? 0) > MAX_PARTS * partBytes) {
    throw badOption('maxBytes', `at most ${MAX_PARTS * partBytes}, the bytes of ${MAX_PARTS} parts: or set a larger b2.partBytes`)
  }
  const maxAgeMs = resumable === false ? 0 : withDefaults('resumable', Object(resumable) as object).maxAgeMs
  if (b2 !== undefined && unfinishedMaxAgeMs !== 0 && unfinishedMaxAgeMs <= maxAgeMs) {
    throw badOption('b2.unfinishedMaxAgeMs', `0 or more than resumable.maxAgeMs, so at least ${maxAgeMs + 1}: or set a smaller resumable.maxAgeMs`)
  }
}

/** @param otherwise what else may stand in the place of the object */
function checkAll (name: string, value: unknown, rules: Rules, otherwise = ''): void {
  if (typeof value !== 'object' || value === null) throw badOption(name, `an object with ${required(rules)}${otherwise}`)
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

function isHttpUrl (value: unknown): boolean {
  return typeof value === 'string' && URL.canParse(value) && /^https?:$/.test(new URL(value).protocol)
}

function isListOfTypes (value: unknown): boolean {
  return Array.isArray(value) && value.every(type => typeof type === 'string' && /^[\w!#$&^.+-]+\/(\*|[\w!#$&^.+-]+)$/.test(type))
}
