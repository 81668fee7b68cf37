import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
import { Value } from '@sinclair/typebox/value'
import Fastify from 'fastify'
import t from 'tap'
import { ConfigError } from '../../../services/config/errors.ts'
import { ConfigSchema } from '../../../services/config/schema.ts'
import type { Config } from '../../../services/config/schema.ts'
import { isProduction, missingB2, parseConfig } from '../../../services/config/config.ts'
import type { Environment } from '../../../services/config/config.ts'

const MAX_TIMER_MS = 2_147_483_647
const MiB = 1_048_576
const GiB = 1_073_741_824

const b2: Environment = {
  B2_ENDPOINT: 'https://s3.us-west-004.backblazeb2.com',
  B2_BUCKET: 'songs',
  B2_APPLICATION_KEY_ID: '004abcdef0123456789',
  B2_APPLICATION_KEY: 'K004very+secret'
}

/** What is wrong with an environment, or undefined where nothing is. */
function errorOf (env: Environment): ConfigError | undefined {
  try {
    parseConfig(env)
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
}

type Row = [name: keyof Config, text: string, value: unknown]
type BadRow = [name: keyof Config, text: string, message: RegExp]

const defaults = {
  ENV: 'development',
  NODE_ENV: 'development',
  HOST: '127.0.0.1',
  PORT: 3000,
  LOG_LEVEL: 'info',
  TRUST_PROXY: false,
  B2_KEY_PREFIX: 'tracks/',
  B2_CONNECT_TIMEOUT_MS: 5000,
  B2_STALL_TIMEOUT_MS: 10_000,
  B2_ACK_TIMEOUT_MS: 45_000,
  B2_MAX_ATTEMPTS: 4,
  B2_PART_BYTES: 8 * MiB,
  B2_FORCE_PATH_STYLE: true,
  B2_UNFINISHED_MAX_AGE_MS: 604_800_000,
  LOCAL_STORAGE_DIR: './storage',
  LOCAL_MIN_FREE_BYTES: 0,
  UPLOAD_MAX_BYTES: GiB,
  UPLOAD_MAX_CONCURRENT: 1000,
  UPLOAD_ALLOWED_TYPES: [],
  UPLOAD_IDLE_TIMEOUT_MS: 30_000,
  UPLOAD_MIN_RATE: 1024,
  RESUMABLE_MAX_AGE_MS: 86_400_000,
  DOWNLOAD_MAX_CONCURRENT: 1000,
  DOWNLOAD_IDLE_TIMEOUT_MS: 60_000,
  REPLAY_WINDOW_BYTES: 32 * MiB,
  FALLBACK_BEYOND_WINDOW: 'split',
  MEMORY_BUDGET_BYTES: 256 * MiB,
  BREAKER_THRESHOLD: 5,
  BREAKER_RESET_MS: 30_000,
  PROMOTE_INTERVAL_MS: 60_000,
  PROMOTE_CONCURRENCY: 4,
  API_KEYS: [],
  RATE_LIMIT_MAX: 0,
  RATE_LIMIT_WINDOW_MS: 60_000,
  CORS_ORIGIN: [],
  SHUTDOWN_GRACE_MS: 30_000
}

t.test('an empty environment gives the documented defaults', async t => {
  t.strictSame(parseConfig({}), defaults)
})

t.test('empty and white-space values count as unset', async t => {
  const names = Object.keys(ConfigSchema.properties)
  for (const blank of ['', ' ', '\t\n ']) {
    t.strictSame(parseConfig(Object.fromEntries(names.map(name => [name, blank]))), defaults)
  }
})

t.test('one caller changing a list does not change the default of the next', async t => {
  parseConfig({}).API_KEYS.push({ token: 'intruder' })
  t.strictSame(parseConfig({}).API_KEYS, [])
})

t.test('good values are parsed, and fit the schema', async t => {
  const rows: Row[] = [
    ['ENV', 'staging', 'staging'],
    ['HOST', '::', '::'],
    ['PORT', '0', 0],
    ['PORT', '65535', 65_535],
    ...['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'].map((level): Row => ['LOG_LEVEL', level, level]),
    ...['true', 'TRUE', 'yes', 'On'].map((word): Row => ['TRUST_PROXY', word, true]),
    ...['false', 'No', 'OFF'].map((word): Row => ['TRUST_PROXY', word, false]),
    ['TRUST_PROXY', 'loopback', 'loopback'],
    ['TRUST_PROXY', '10.0.0.0/8, ::1 , fd00::/8,uniquelocal,', '10.0.0.0/8,::1,fd00::/8,uniquelocal'],
    ['B2_ENDPOINT', 'https://S3.us-west-004.backblazeb2.com/', 'https://s3.us-west-004.backblazeb2.com'],
    ['B2_ENDPOINT', 'http://127.0.0.1:9000', 'http://127.0.0.1:9000'],
    ['B2_ENDPOINT', 'http://[::1]:9000/', 'http://[::1]:9000'],
    ['B2_REGION', 'eu-central-003', 'eu-central-003'],
    ['B2_APPLICATION_KEY', 'K004abc\n', 'K004abc'],
    ['B2_KEY_PREFIX', 'a/b.c/d../', 'a/b.c/d../'],
    ['B2_KEY_PREFIX', 'tracks-', 'tracks-'],
    ['B2_KEY_PREFIX', 'Müsik/', 'Müsik/'],
    ['B2_KEY_PREFIX', `${'é'.repeat(89)}/`.repeat(5), `${'é'.repeat(89)}/`.repeat(5)],
    ['B2_KEY_PREFIX', `${'é'.repeat(90)}/${'é'.repeat(25)}`, `${'é'.repeat(90)}/${'é'.repeat(25)}`],
    ['B2_CONNECT_TIMEOUT_MS', '100', 100],
    ['B2_CONNECT_TIMEOUT_MS', String(MAX_TIMER_MS), MAX_TIMER_MS],
    ['B2_PART_BYTES', String(5 * MiB), 5 * MiB],
    ...['true', '1', 'YES', 'on'].map((word): Row => ['B2_FORCE_PATH_STYLE', word, true]),
    ...['False', '0', 'no', 'OFF'].map((word): Row => ['B2_FORCE_PATH_STYLE', word, false]),
    ['LOCAL_MIN_FREE_BYTES', '1', 1],
    ['UPLOAD_MAX_BYTES', '1', 1],
    ['UPLOAD_MAX_CONCURRENT', '1', 1],
    ['UPLOAD_ALLOWED_TYPES', 'Audio/*, video/mp4,,application/vnd.apple.mpegurl',
      ['audio/*', 'video/mp4', 'application/vnd.apple.mpegurl']],
    ['UPLOAD_MIN_RATE', '0', 0],
    ['REPLAY_WINDOW_BYTES', String(MiB), MiB],
    ['BREAKER_THRESHOLD', '0', 0],
    ['PROMOTE_INTERVAL_MS', '0', 0],
    ['PROMOTE_INTERVAL_MS', '100', 100],
    ['PROMOTE_CONCURRENCY', '1', 1],
    ['PROMOTE_CONCURRENCY', '32', 32],
    ['API_KEYS', 'one, two,,three~+/=', [{ token: 'one' }, { token: 'two' }, { token: 'three~+/=' }]],
    ['API_KEYS', 'web:one, Prom.1_x-:two:metrics,c:three:read+upload+read', [
      { label: 'web', token: 'one' }, { label: 'Prom.1_x-', token: 'two', scopes: ['metrics'] }, { label: 'c', token: 'three', scopes: ['read', 'upload'] },
    ]],
    ['API_KEYS', 'one,one', [{ token: 'one' }]],
    ['API_KEYS', `${'l'.repeat(32)}:one`, [{ label: 'l'.repeat(32), token: 'one' }]],
    ['B2_UNFINISHED_MAX_AGE_MS', '0', 0],
    ['B2_UNFINISHED_MAX_AGE_MS', '86400001', 86_400_001],
    ['B2_UNFINISHED_MAX_AGE_MS', '31536000000', 31_536_000_000],
    ['RESUMABLE_MAX_AGE_MS', '0', 0],
    ['RESUMABLE_MAX_AGE_MS', '100', 100],
    ['CORS_ORIGIN', 'https://App.example.com/, http://localhost:5173', ['https://app.example.com', 'http://localhost:5173']],
    ['CORS_ORIGIN', '*', ['*']]
  ]
  for (const [name, text, value] of rows) {
    const config = parseConfig({ [name]: text })
    t.strictSame(config[name], value, `${name}=${JSON.stringify(text)}`)
    t.ok(Value.Check(ConfigSchema, config), `${name}=${JSON.stringify(text)} fits the schema`)
  }
})

t.test('bad values are refused, with what would be right', async t => {
  const times = ['B2_CONNECT_TIMEOUT_MS', 'B2_STALL_TIMEOUT_MS', 'UPLOAD_IDLE_TIMEOUT_MS', 'BREAKER_RESET_MS',
    'RATE_LIMIT_WINDOW_MS', 'SHUTDOWN_GRACE_MS'] as const
  const counts = ['B2_MAX_ATTEMPTS', 'UPLOAD_MAX_CONCURRENT'] as const
  const zeroable = ['LOCAL_MIN_FREE_BYTES', 'UPLOAD_MIN_RATE', 'BREAKER_THRESHOLD', 'RATE_LIMIT_MAX'] as const
  const rows: BadRow[] = [
    ...times.flatMap((name): BadRow[] => ['0', '99', '2147483648'].map(text =>
      [name, text, /from 100 to 2147483647 \(milliseconds/])),
    ...['99', '1', '2147483648', 'off'].map((text): BadRow =>
      ['PROMOTE_INTERVAL_MS', text, /must be 0 or a whole number from 100 to 2147483647/]),
    ...['1', '86399999', '-1', '7d'].map((text): BadRow => ['B2_UNFINISHED_MAX_AGE_MS', text, /must be 0 or a whole number of at least 86400000/]),
    ...['99', '2147483648', 'off'].map((text): BadRow => ['RESUMABLE_MAX_AGE_MS', text, /must be 0 or a whole number from 100 to 2147483647/]),
    ...counts.map((name): BadRow => [name, '0', /of at least 1, not "0"/]),
    ...zeroable.map((name): BadRow => [name, '-1', /of at least 0.*, not "-1"/]),
    ...['1e3', '0x10', '8MiB', '-1', '+1', '1.5', '1_000', '1,000', '1 0', '٣', 'NaN', '9007199254740993']
      .map((text): BadRow => ['UPLOAD_MAX_CONCURRENT', text, /must be a whole number/]),
    ['PORT', '65536', /from 0 to 65535, not "65536"/],
    ['LOG_LEVEL', 'loud', /one of fatal, error, warn, info, debug, trace, silent, not "loud"/],
    ['B2_FORCE_PATH_STYLE', '2', /true or false/],
    ['B2_FORCE_PATH_STYLE', 'ja', /true or false/],
    ['B2_PART_BYTES', String(5 * MiB - 1), /from 5242880 to 2147483647 \(bytes/],
    ['B2_PART_BYTES', String(2 * GiB), /from 5242880 to 2147483647 \(bytes/],
    ['UPLOAD_MAX_BYTES', '0', /from 1 to/],
    ['REPLAY_WINDOW_BYTES', String(MiB - 1), /of at least 1048576/],
    ['MEMORY_BUDGET_BYTES', String(32 * MiB - 1), /of at least 33554432/],
    ['B2_ENDPOINT', 's3.us-west-004.backblazeb2.com', /add https:\/\/ to make it https:\/\/s3\.us-west-004\.backblazeb2\.com/],
    ['B2_ENDPOINT', 'localhost:9000', /add https:\/\//],
    ['B2_ENDPOINT', 'ftp://example.com', /must be an http:\/\/ or https:\/\/ URL/],
    ['B2_ENDPOINT', 'https://', /must be an http:\/\/ or https:\/\/ URL/],
    ['B2_ENDPOINT', 'https://s3.example.com/bucket', /without a path: the bucket goes to B2_BUCKET/],
    ['B2_ENDPOINT', 'https://s3.example.com?x=1', /without a query/],
    ['B2_ENDPOINT', 'https://s3.example.com/#x', /without a query or fragment/],
    ['B2_ENDPOINT', 'https://me@s3.example.com', /without credentials/],
    ['B2_KEY_PREFIX', '/tracks/', /a leading \//],
    ['B2_KEY_PREFIX', '/', /a leading \//],
    ['B2_KEY_PREFIX', '../', /a segment that begins with a dot/],
    ['B2_KEY_PREFIX', 'a/..', /a segment that begins with a dot/],
    ['B2_KEY_PREFIX', 'a/./b', /a segment that begins with a dot/],
    ['B2_KEY_PREFIX', 'a//b', /an empty segment/],
    ['B2_KEY_PREFIX', 'a//', /an empty segment/],
    ['B2_KEY_PREFIX', 'a\\b', /a backslash/],
    ['B2_KEY_PREFIX', 'a\u0000b', /a control character/],
    ['B2_KEY_PREFIX', 'a\u0085b', /a control character/],
    ['B2_KEY_PREFIX', '.h/', /a segment that begins with a dot/],
    ['B2_KEY_PREFIX', 'a/h.', /a dot at its end/],
    ['B2_KEY_PREFIX', 'a/.h', /a segment that begins with a dot/],
    ['B2_KEY_PREFIX', `${'é'.repeat(90)}/`.repeat(4) + `${'é'.repeat(88)}/`, /at most 900 UTF-8 bytes long, not 901/],
    ['B2_KEY_PREFIX', `${'é'.repeat(90)}a/`, /segments of at most 180 UTF-8 bytes/],
    ['B2_KEY_PREFIX', `${'é'.repeat(25)}a`, /followed by a \/ if its last segment is longer than 50/],
    ...['audio', 'audio/', '*/*', '*', 'any', 'audio/mpeg; charset=x', 'audio/mp*', ','].map((text): BadRow =>
      ['UPLOAD_ALLOWED_TYPES', text, /must/]),
    ...['1.2.3', '10.0.0.0/33', '10.0.0.0/0', '::1/129', '::/0', '10.0.0.0/8/8', '10.0.0.0/', 'localhost', '-1', '1.5', '1,2', ',']
      .map((text): BadRow => ['TRUST_PROXY', text, /must/]),
    ['API_KEYS', ',', /must have an entry/],
    ['API_KEYS', 'fine,with space', /entry 2 is not/],
    ['API_KEYS', 'schlüssel', /entry 1 is not/],
    ['API_KEYS', 'fine,a:b:read:d', /entry 2 has more than two colons/],
    ['API_KEYS', ':token', /labels of 1 to 32 .*entry 1/],
    ['API_KEYS', `${'l'.repeat(33)}:token`, /labels of 1 to 32/],
    ['API_KEYS', 'a/b:token', /labels of 1 to 32/],
    ['API_KEYS', 'label:', /entry 1 has no token/],
    ['API_KEYS', 'label::read', /entry 1 has no token/],
    ...['write', '', 'read+', '+read', 'Read', 'all', 'read++upload'].map((scopes): BadRow =>
      ['API_KEYS', `fine,label:token:${scopes}`, /scopes out of upload, read, delete, metrics.*entry 2 has an unknown or empty one/]),
    ['API_KEYS', 'a:one,a:two', /two entries share theirs/],
    ['API_KEYS', 'a:one,b:one:read', /entry 2 has one of an earlier entry/],
    ...['app.example.com', 'https://app.example.com/x', 'https://*.example.com/?', 'https://me@example.com', ','].map((text): BadRow =>
      ['CORS_ORIGIN', text, /must/])
  ]
  for (const [name, text, message] of rows) {
    const error = errorOf({ [name]: text })
    t.strictSame(error?.variables, [name], `${name}=${JSON.stringify(text)}`)
    t.match(error?.message, new RegExp(`^Invalid configuration: ${name} must `))
    t.match(error?.message, message)
  }
})

t.test('every form of TRUST_PROXY is one that Fastify acts on', async t => {
  for (const text of ['true', 'loopback, 10.0.0.1', '::ffff:10.0.0.0/104', '1.1.1.1/1', 'fe80::1%eth0', '::/1']) {
    const { TRUST_PROXY } = parseConfig({ TRUST_PROXY: text })
    t.doesNotThrow(() => Fastify({ trustProxy: TRUST_PROXY }), text)
  }
})

t.test('the largest file must fit 10,000 parts', async t => {
  const part = 5 * MiB
  const fits = { B2_PART_BYTES: String(part), UPLOAD_MAX_BYTES: String(10_000 * part) }
  t.equal(parseConfig(fits).UPLOAD_MAX_BYTES, 10_000 * part)

  const error = errorOf({ ...fits, UPLOAD_MAX_BYTES: String(10_000 * part + 1) })
  t.strictSame(error?.variables, ['UPLOAD_MAX_BYTES'])
  t.match(error?.message, `at most ${10_000 * part}, not ${10_000 * part + 1}, or B2_PART_BYTES must be at least ${part + 1}`)
})

t.test('the memory budget must hold one replay window and two parts', async t => {
  const needed = 40 * MiB + 2 * 10 * MiB
  const holds = {
    REPLAY_WINDOW_BYTES: String(40 * MiB), B2_PART_BYTES: String(10 * MiB), MEMORY_BUDGET_BYTES: String(needed)
  }
  t.equal(parseConfig(holds).MEMORY_BUDGET_BYTES, needed)

  const error = errorOf({ ...holds, MEMORY_BUDGET_BYTES: String(needed - 1) })
  t.strictSame(error?.variables, ['MEMORY_BUDGET_BYTES'])
  t.match(error?.message, `be at least ${needed}, not ${needed - 1}, or REPLAY_WINDOW_BYTES or B2_PART_BYTES must be smaller`)
  t.strictSame(errorOf({ REPLAY_WINDOW_BYTES: String(250 * MiB) })?.variables, ['MEMORY_BUDGET_BYTES'], 'against defaults')
})

t.test('an unfinished upload must outlive the resumable one that it belongs to', async t => {
  const DAY = 86_400_000
  const holds = { B2_UNFINISHED_MAX_AGE_MS: String(2 * DAY + 1), RESUMABLE_MAX_AGE_MS: String(2 * DAY) }
  t.equal(parseConfig(holds).RESUMABLE_MAX_AGE_MS, 2 * DAY)
  t.equal(errorOf({ ...holds, B2_UNFINISHED_MAX_AGE_MS: '0' }), undefined, 'they are never ended')
  t.equal(errorOf({ RESUMABLE_MAX_AGE_MS: '0', B2_UNFINISHED_MAX_AGE_MS: String(DAY) }), undefined, 'there are no resumable uploads')

  const error = errorOf({ ...holds, B2_UNFINISHED_MAX_AGE_MS: String(2 * DAY) })
  t.strictSame(error?.variables, ['B2_UNFINISHED_MAX_AGE_MS'])
  t.match(error?.message, `must be 0 or more than RESUMABLE_MAX_AGE_MS, so at least ${2 * DAY + 1}, not ${2 * DAY}, or RESUMABLE_MAX_AGE_MS must be smaller`)
  t.strictSame(errorOf({ RESUMABLE_MAX_AGE_MS: String(7 * DAY) })?.variables, ['B2_UNFINISHED_MAX_AGE_MS'], 'against defaults')
  t.strictSame(errorOf({ RESUMABLE_MAX_AGE_MS: 'x', B2_UNFINISHED_MAX_AGE_MS: String(DAY) })?.variables, ['RESUMABLE_MAX_AGE_MS'], 'a bad one is not held against the other')
})

t.test('a bad value is not held against the variables beside it', async t => {
  const error = errorOf({ B2_PART_BYTES: 'x', UPLOAD_MAX_BYTES: String(100_000 * MiB), REPLAY_WINDOW_BYTES: String(250 * MiB) })
  t.strictSame(error?.variables, ['B2_PART_BYTES'])
  t.strictSame(errorOf({ REPLAY_WINDOW_BYTES: '1', MEMORY_BUDGET_BYTES: String(32 * MiB) })?.variables, ['REPLAY_WINDOW_BYTES'])
})

t.test('all problems come in one error, in documented order', async t => {
  const error = errorOf({
    SHUTDOWN_GRACE_MS: 'soon', ENV: 'production', PORT: 'http', B2_ENDPOINT: 's3.us-west-004.backblazeb2.com', UPLOAD_MAX_BYTES: '1TB'
  })
  const variables = ['PORT', 'B2_ENDPOINT', 'B2_BUCKET', 'B2_APPLICATION_KEY_ID', 'B2_APPLICATION_KEY', 'UPLOAD_MAX_BYTES',
    'SHUTDOWN_GRACE_MS']
  t.strictSame(error?.variables, variables)
  for (const name of variables) t.match(error?.message, `${name} must`)
  t.notMatch(error?.message, '\n', 'fits one log line')
  t.equal(error?.message.split('; ').length, variables.length)
  t.equal(error?.name, 'ConfigError')
})

t.test('a message never holds a secret', async t => {
  const secrets = ['topsecretkey', 'topsecretid', 'topsecret token', 'topsecretpassword']
  const error = errorOf({
    B2_APPLICATION_KEY: secrets[0],
    B2_APPLICATION_KEY_ID: secrets[1],
    API_KEYS: secrets[2],
    B2_ENDPOINT: `https://me:${secrets[3]}@s3.example.com/`
  })
  t.strictSame(error?.variables, ['B2_ENDPOINT', 'API_KEYS'])
  t.notMatch(error?.message, 'topsecret')
})

t.test('a long bad value is cut', async t => {
  t.ok((errorOf({ PORT: '9'.repeat(10_000) })?.message.length ?? Infinity) < 300)
})

t.test('production in ENV or NODE_ENV makes it strict', async t => {
  for (const env of [{ ENV: 'production' }, { NODE_ENV: 'production' }, { ENV: 'Production', NODE_ENV: 'test' }]) {
    t.strictSame(errorOf(env)?.variables, ['B2_ENDPOINT', 'B2_BUCKET', 'B2_APPLICATION_KEY_ID', 'B2_APPLICATION_KEY'])
    t.equal(isProduction(parseConfig({ ...env, ...b2 })), true)
  }
  t.equal(isProduction(parseConfig({ ENV: 'staging', NODE_ENV: 'test' })), false)
})

t.test('production needs tokens that nobody can guess', async t => {
  const strict = { ...b2, ENV: 'production' }
  for (const keys of ['123456789012345', `${'1'.repeat(16)},web:${'2'.repeat(15)}:read`]) {
    const error = errorOf({ ...strict, API_KEYS: keys })
    t.strictSame(error?.variables, ['API_KEYS'])
    t.match(error?.message, /at least 16 characters in production/)
    t.notMatch(error?.message, keys)
  }
  t.equal(errorOf({ ...strict, API_KEYS: `${'1'.repeat(16)},web:${'2'.repeat(16)}` }), undefined)
  t.equal(errorOf({ ...b2, API_KEYS: 'short' }), undefined, 'elsewhere any will do')
})

t.test('production needs every variable of B2', async t => {
  for (const name of Object.keys(b2)) {
    for (const text of [undefined, '', '  ']) {
      t.strictSame(errorOf({ ...b2, ENV: 'production', [name]: text })?.variables, [name])
    }
  }
})

t.test('the region comes from a backblazeb2.com endpoint', async t => {
  const regions: [string, string | undefined][] = [
    ['https://s3.us-west-004.backblazeb2.com', 'us-west-004'],
    ['https://s3.eu-central-003.backblazeb2.com:443/', 'eu-central-003'],
    ['https://s3.us-west-004.backblazeb2.com.example.com', undefined],
    ['https://s3.us-west-004.notbackblazeb2.com', undefined],
    ['https://songs.s3.us-west-004.backblazeb2.com', undefined],
    ['https://s3..backblazeb2.com', undefined],
    ['https://backblazeb2.com', undefined],
    ['http://127.0.0.1:9000', undefined]
  ]
  for (const [B2_ENDPOINT, region] of regions) {
    t.equal(parseConfig({ ...b2, B2_ENDPOINT }).B2_REGION, region, B2_ENDPOINT)
    t.equal(parseConfig({ ...b2, B2_ENDPOINT, B2_REGION: 'mine' }).B2_REGION, 'mine')
  }
})

t.test('a region that cannot be derived is missing, and production says so', async t => {
  const env = { ...b2, B2_ENDPOINT: 'http://127.0.0.1:9000' }
  t.strictSame(missingB2(parseConfig(env)), ['B2_REGION'])
  const error = errorOf({ ...env, NODE_ENV: 'production' })
  t.strictSame(error?.variables, ['B2_REGION'])
  t.match(error?.message, "can't be derived from B2_ENDPOINT")
  t.strictSame(missingB2(parseConfig({ ...env, B2_REGION: 'us-east-1' })), [])
})

t.test('missingB2 names what B2 still needs', async t => {
  t.strictSame(missingB2(parseConfig(b2)), [])
  t.strictSame(missingB2(parseConfig({})), ['B2_ENDPOINT', 'B2_BUCKET', 'B2_APPLICATION_KEY_ID', 'B2_APPLICATION_KEY'])
  t.strictSame(missingB2(parseConfig({ ...b2, B2_BUCKET: ' ' })), ['B2_BUCKET'])
})

t.test('.env.example, the schema and the defaults agree', async t => {
  const example = readFileSync(new URL('../../../.env.example', import.meta.url), 'utf8')
  const schemas = Object.entries<{ default?: unknown, description?: string }>(ConfigSchema.properties)
  const lines = [...example.matchAll(/^(# )?([A-Z][A-Z0-9_]*)=/gm)]

  t.strictSame(lines.map(([, , name]) => name), schemas.map(([name]) => name), 'every variable once, in order')
  t.strictSame(
    lines.filter(([, comment]) => comment !== undefined).map(([, , name]) => name),
    schemas.filter(([, schema]) => schema.default === undefined || Array.isArray(schema.default)).map(([name]) => name),
    'commented out where there is no default'
  )
  t.strictSame(Object.keys(parseEnv(example)).sort(), lines.filter(([, comment]) => !comment).map(([, , name]) => name).sort())
  t.strictSame(parseConfig(parseEnv(example)), defaults)

  const everything = parseEnv(example.replaceAll(/^# (?=[A-Z][A-Z0-9_]*=)/gm, ''))
  t.doesNotThrow(() => parseConfig(everything), 'the examples that are commented out are good ones')
  t.equal(Object.keys(everything).length, schemas.length)
})
