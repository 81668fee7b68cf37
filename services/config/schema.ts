import { Type, type IntegerOptions, type Static, type TSchema } from '@sinclair/typebox'
import { SCOPES } from './api-keys.ts'

/** Parts of one multipart upload, at most (a limit of the S3 API). */
export const MAX_PARTS = 10_000
export const MAX_PART_BYTES = 2_147_483_647 // 2 GiB less a byte, the most that Node writes to a file at once; B2 takes 5 GiB
export const MAX_TIMER_MS = 2_147_483_647 // a longer setTimeout fires at once

type Bounded = IntegerOptions & { description: string, default: number }

const integer = (unit: string, options: Bounded) =>
  Type.Integer({ unit, maximum: Number.MAX_SAFE_INTEGER, ...options })

const bytes = (options: Bounded) => integer('bytes', options)
const count = (options: Bounded) => integer('', { minimum: 1, ...options })
const milliseconds = (options: Bounded) =>
  integer('milliseconds', { minimum: 100, maximum: MAX_TIMER_MS, ...options })

/** Or 0, which turns something off. */
const zeroOrMilliseconds = (options: Bounded) =>
  Type.Union([Type.Literal(0), milliseconds(options)], { description: options.description, default: options.default })

/** A variable that is also an option of the plugin, by its path there. */
const option = <const Path extends string, Schema extends TSchema>(path: Path, schema: Schema): Schema & { option: Path } =>
  ({ ...schema, option: path })

/**
 * Every environment variable of the service, in the order in which they are documented. `default` is absent where the
 * variable has none, and an empty list if unset means "any" or "none". `unit` says what an integer counts, `option` which option
 * of the plugin has the same meaning, default and bounds.
 */
export const ConfigSchema = Type.Object({
  ENV: Type.String({
    description: 'Where the service runs; `production` here or in NODE_ENV makes it strict.',
    default: 'development'
  }),
  NODE_ENV: Type.String({
    description: 'Same as ENV, under the name that Node.js tools use.',
    default: 'development'
  }),
  HOST: Type.String({ description: 'Listening address.', default: '127.0.0.1' }),
  PORT: integer('', {
    description: 'Listening port; 0 picks a free one.',
    default: 3000,
    minimum: 0,
    maximum: 65_535
  }),
  LOG_LEVEL: Type.Union((['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const).map(level => Type.Literal(level)), {
    description: 'Least level that is logged (pino).',
    default: 'info'
  }),
  TRUST_PROXY: Type.Union([Type.Boolean(), Type.String()], {
    description: "Fastify's trustProxy: whose X-Forwarded-* headers are believed. true or false, " +
      'or comma-separated addresses, CIDR ranges and loopback, linklocal, uniquelocal.',
    default: false
  }),
  B2_ENDPOINT: Type.Optional(option('b2.endpoint', Type.String({
    description: 'Origin of the S3-compatible API: https://s3.<region>.backblazeb2.com, or any other.'
  }))),
  B2_REGION: Type.Optional(option('b2.region', Type.String({
    description: 'Signing region; taken from the second label of a backblazeb2.com endpoint when unset.'
  }))),
  B2_BUCKET: Type.Optional(option('b2.bucket', Type.String({ description: 'Bucket that uploads go to.' }))),
  B2_APPLICATION_KEY_ID: Type.Optional(option('b2.applicationKeyId', Type.String({
    description: 'Id of the application key (B2 refuses the master key on this API).'
  }))),
  B2_APPLICATION_KEY: Type.Optional(option('b2.applicationKey', Type.String({ description: 'The application key itself, a secret.' }))),
  B2_KEY_PREFIX: option('keyPrefix', Type.String({
    description: 'Put before every key: relative, at most 900 bytes, ending in / where it names a folder.',
    default: 'tracks/'
  })),
  B2_CONNECT_TIMEOUT_MS: option('b2.connectTimeoutMs', milliseconds({ description: 'Time to connect to B2.', default: 5000 })),
  B2_STALL_TIMEOUT_MS: option('b2.stallTimeoutMs', milliseconds({
    description: 'A B2 request on which (next to) nothing moves for this long has stalled: it is tried once more on a ' +
      'new connection, then it has failed.',
    default: 10_000
  })),
  B2_ACK_TIMEOUT_MS: option('b2.ackTimeoutMs', zeroOrMilliseconds({
    description: 'Once a client has sent everything: how long B2 may acknowledge nothing before the file falls back, so that proxies in front ' +
      'don\'t give up first. While bytes move it is no failure of B2, and the circuit doesn\'t count it. 0: no such bound.',
    default: 45_000
  })),
  B2_MAX_ATTEMPTS: option('b2.maxAttempts', count({ description: 'Tries of one B2 request, with backoff.', default: 4 })),
  B2_PART_BYTES: option('b2.partBytes', bytes({
    description: 'Part size of multipart uploads.',
    default: 8_388_608, // 8 MiB
    minimum: 5_242_880, // 5 MiB, the smallest part B2 takes
    maximum: MAX_PART_BYTES
  })),
  B2_FORCE_PATH_STYLE: option('b2.forcePathStyle', Type.Boolean({
    description: 'Bucket in the path instead of the host name.',
    default: true
  })),
  B2_UNFINISHED_MAX_AGE_MS: option('b2.unfinishedMaxAgeMs', zeroOrMilliseconds({
    minimum: 86_400_000, // a day
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'Unfinished multipart uploads of this service that are older, and belong to nothing here, are ended; 0: never.',
    default: 604_800_000 // 7 days
  })),
  LOCAL_STORAGE_DIR: option('local.dir', Type.String({
    description: 'Directory of the fallback store, created at start.',
    default: './storage'
  })),
  LOCAL_MIN_FREE_BYTES: option('local.minFreeBytes', bytes({
    description: 'Free space to keep on that disk: below it a fallback is disk_full. 0 keeps none.',
    default: 0,
    minimum: 0
  })),
  UPLOAD_MAX_BYTES: option('maxBytes', bytes({
    description: 'Largest accepted file; it must fit 10,000 parts of B2_PART_BYTES.',
    default: 1_073_741_824, // 1 GiB
    minimum: 1,
    maximum: MAX_PARTS * MAX_PART_BYTES
  })),
  UPLOAD_MAX_CONCURRENT: option('maxConcurrent', count({
    description: 'Uploads at once; more are answered 503 overloaded.',
    default: 1000
  })),
  UPLOAD_ALLOWED_TYPES: option('allowedTypes', Type.Array(Type.String(), {
    description: 'Accepted media types, comma-separated, audio/* style wildcards allowed; any when unset.',
    default: []
  })),
  UPLOAD_IDLE_TIMEOUT_MS: option('idleTimeoutMs', milliseconds({
    description: 'An upload whose client sends nothing for this long ends.',
    default: 30_000
  })),
  UPLOAD_MIN_RATE: option('minRate', integer('bytes per second', {
    description: 'Least bytes per second of a client, averaged over UPLOAD_IDLE_TIMEOUT_MS; 0 turns the rule off.',
    default: 1024,
    minimum: 0
  })),
  DOWNLOAD_MAX_CONCURRENT: option('downloads.maxConcurrent', count({
    description: 'Content requests at once; more are answered 503 overloaded.',
    default: 1000
  })),
  DOWNLOAD_IDLE_TIMEOUT_MS: option('downloads.idleTimeoutMs', milliseconds({
    description: 'A reader of content that takes nothing for this long is ended.',
    default: 60_000
  })),
  REPLAY_WINDOW_BYTES: option('windowBytes', bytes({
    description: 'Bytes of one upload kept in memory so that a fallback can start again at byte 0.',
    default: 33_554_432, // 32 MiB
    minimum: 1_048_576 // 1 MiB
  })),
  MEMORY_BUDGET_BYTES: option('memoryBudgetBytes', bytes({
    description: 'Bound on the bytes of all uploads held in memory at once; must hold one replay window and two parts.',
    default: 268_435_456, // 256 MiB
    minimum: 33_554_432 // 32 MiB
  })),
  BREAKER_THRESHOLD: option('breakerThreshold', count({
    description: 'Uploads in a row whose B2 attempt failed that open the circuit; 0 means no breaker.',
    default: 5,
    minimum: 0
  })),
  BREAKER_RESET_MS: option('breakerResetMs', milliseconds({
    description: 'Time until one upload probes B2 again after the circuit opened.',
    default: 30_000
  })),
  PROMOTE_INTERVAL_MS: option('promoteIntervalMs', zeroOrMilliseconds({
    description: 'Pause between promotion passes; 0 turns promotion off.',
    default: 60_000
  })),
  PROMOTE_CONCURRENCY: option('promoteConcurrency', count({
    description: 'Files promoted at once; live uploads come first.',
    default: 4,
    maximum: 32
  })),
  API_KEYS: Type.Array(Type.Object({
    label: Type.Optional(Type.String()),
    token: Type.String(),
    scopes: Type.Optional(Type.Array(Type.Union(SCOPES.map(scope => Type.Literal(scope)))))
  }), {
    description: 'Bearer tokens, comma-separated; when set, every route but /health, /ready and the docs needs one. An entry is ' +
      'token, label:token or label:token:scopes; scopes are upload, read, delete and metrics, joined by +, and all by default.',
    default: []
  }),
  RATE_LIMIT_MAX: count({
    description: 'Uploads per client address and window; 0 turns the limit off.',
    default: 0,
    minimum: 0
  }),
  RATE_LIMIT_WINDOW_MS: milliseconds({ description: 'Window of RATE_LIMIT_MAX.', default: 60_000 }),
  CORS_ORIGIN: Type.Array(Type.String(), {
    description: 'Allowed origins, comma-separated, or *; none when unset.',
    default: []
  }),
  SHUTDOWN_GRACE_MS: option('shutdownGraceMs', milliseconds({
    description: 'Time that running uploads get after SIGTERM.',
    default: 30_000
  }))
}, { additionalProperties: false })

/** The service's configuration: what the environment says, parsed, with the defaults filled in. */
export type Config = Static<typeof ConfigSchema>
export type Variable = keyof Config
