import { isIP } from 'node:net'
import type { TSchema } from '@sinclair/typebox'
import { parseApiKeys } from './api-keys.ts'
import { keyPrefixFault } from '../keys.ts'
import { InvalidValue } from './errors.ts'

const PROXY_NAMES = ['loopback', 'linklocal', 'uniquelocal']
const TRUE_WORDS = ['true', 'yes', 'on']
const FALSE_WORDS = ['false', 'no', 'off']

const quote = (text: string) => JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)

/** Entries of a comma-separated list. A list of nothing but commas is a mistake: for API_KEYS it would open the service. */
function readList (text: string): string[] {
  const entries = text.split(',').map(entry => entry.trim()).filter(entry => entry !== '')
  if (entries.length === 0) throw new InvalidValue('must have an entry beside its commas; leave it empty for none')
  return entries
}

function readInteger (text: string, schema: TSchema): number {
  const value = Number(text)
  const { minimum, maximum, unit } = schema
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= minimum && value <= maximum) return value
  const range = maximum === Number.MAX_SAFE_INTEGER ? `of at least ${minimum}` : `from ${minimum} to ${maximum}`
  throw new InvalidValue(`must be a whole number ${range}${unit ? ` (${unit}, digits only)` : ''}, not ${quote(text)}`)
}

function readZeroOrInteger (text: string, schema: TSchema): number {
  if (/^0+$/.test(text)) return 0
  try {
    return readInteger(text, schema)
  } catch (error) {
    if (error instanceof InvalidValue) throw new InvalidValue(error.message.replace('must be', 'must be 0 or'))
    throw error
  }
}

function readBoolean (text: string): boolean {
  const word = text.toLowerCase()
  if (word === '1' || TRUE_WORDS.includes(word)) return true
  if (word === '0' || FALSE_WORDS.includes(word)) return false
  throw new InvalidValue(`must be true or false (1, 0, yes, no, on and off do as well), not ${quote(text)}`)
}

function readChoice (text: string, choices: string[]): string {
  if (choices.includes(text)) return text
  throw new InvalidValue(`must be one of ${choices.join(', ')}, not ${quote(text)}`)
}

function isProxyAddress (entry: string): boolean {
  if (PROXY_NAMES.includes(entry) || isIP(entry) !== 0) return true
  const [address, length, ...rest] = entry.split('/')
  if (address === undefined || length === undefined || rest.length > 0) return false
  const bits = { 0: 0, 4: 32, 6: 128 }[isIP(address)] ?? 0
  // Fastify refuses a prefix length of 0, which would trust everybody.
  return /^\d{1,3}$/.test(length) && Number(length) >= 1 && Number(length) <= bits
}

function readTrustProxy (text: string): boolean | string {
  const word = text.toLowerCase()
  if (TRUE_WORDS.includes(word)) return true
  if (FALSE_WORDS.includes(word)) return false
  // Fastify 5 no longer trusts by count, since a client can prepend any number of hops.
  if (/^\d+$/.test(text)) throw new InvalidValue('must name the proxies rather than count them: give their IP addresses or CIDR ranges, or true')
  const entries = readList(text)
  const bad = entries.find(entry => !isProxyAddress(entry))
  if (bad === undefined) return entries.join(',')
  throw new InvalidValue('must be true, false, or comma-separated IP addresses, CIDR ranges ' +
    `or ${PROXY_NAMES.join(', ')}; ${quote(bad)} is none of these`)
}

/** The endpoint's origin. What was given is echoed only where it can hold no credentials. */
function readEndpoint (text: string): string {
  const right = 'must be an http:// or https:// URL such as https://s3.us-west-004.backblazeb2.com'
  if (/^(localhost|[a-z0-9-]+(\.[a-z0-9-]+)+)(:\d+)?\/?$/i.test(text)) {
    throw new InvalidValue(`must begin with its protocol: add https:// to make it https://${text}`)
  }
  const url = /^https?:\/\//i.test(text) && URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined) throw new InvalidValue(right)
  if (url.username !== '' || url.password !== '') {
    throw new InvalidValue(`${right}, without credentials: they go to B2_APPLICATION_KEY_ID and B2_APPLICATION_KEY`)
  }
  if (url.pathname !== '/') throw new InvalidValue(`${right}, without a path: the bucket goes to B2_BUCKET`)
  if (/[?#]/.test(text)) throw new InvalidValue(`${right}, without a query or fragment`)
  return url.origin
}

function readKeyPrefix (text: string): string {
  const fault = keyPrefixFault(text)
  if (fault !== undefined) throw new InvalidValue(`must be ${fault}`)
  return text
}

function readMediaTypes (text: string): string[] {
  const types = readList(text.toLowerCase())
  const bad = types.find(type => !/^[a-z0-9][\w!#$&^.+-]*\/(\*|[a-z0-9][\w!#$&^.+-]*)$/.test(type))
  if (bad === undefined) return types
  throw new InvalidValue('must be comma-separated media types such as audio/mpeg or audio/* without parameters ' +
    `(leave it empty to allow any type); ${quote(bad)} is not one`)
}

function readOrigins (text: string): string[] {
  // Browsers send origins in lower case and without a final slash; they are compared as they come.
  const origins = readList(text.toLowerCase()).map(origin => origin.replace(/\/$/, ''))
  const bad = origins.find(origin => origin !== '*' && !/^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s]+$/.test(origin))
  if (bad === undefined) return origins
  throw new InvalidValue('must be comma-separated origins such as https://app.example.com (protocol, host and port ' +
    `only), or *; ${quote(bad)} is not one`)
}

const readers: Record<string, (text: string) => unknown> = {
  TRUST_PROXY: readTrustProxy,
  B2_ENDPOINT: readEndpoint,
  B2_KEY_PREFIX: readKeyPrefix,
  UPLOAD_ALLOWED_TYPES: readMediaTypes,
  API_KEYS: text => parseApiKeys(readList(text)),
  CORS_ORIGIN: readOrigins
}

/**
 * Reads one variable: by a rule of its own where it has one, else by the type and the bounds of its schema.
 *
 * @throws {InvalidValue} where the text is not what the variable takes
 */
export function readValue (name: string, schema: TSchema, text: string): unknown {
  const reader = readers[name]
  if (reader !== undefined) return reader(text)
  if (schema.type === 'integer') return readInteger(text, schema)
  if (schema.type === 'boolean') return readBoolean(text)
  if (schema.anyOf === undefined) return text
  const choices: TSchema[] = schema.anyOf
  const range = choices.find(choice => choice.type === 'integer')
  return range ? readZeroOrInteger(text, range) : readChoice(text, choices.map(choice => choice.const))
}
