import { Type } from '@sinclair/typebox'
import type { IntegerOptions, Static, TSchema } from '@sinclair/typebox'
import { SCOPES } from './api-keys.ts'

/** Parts of one multipart upload, at most (a limit of the S3 API). */
export const MAX_PARTS = 10_000
export const SMALLEST_PART_BYTES = 5_242_880 // 5 MiB, the smallest that B2 takes
export const MAX_PART_BYTES = 2_147_483_647 // 2 GiB less a byte, the most that Node writes to a file at once; B2 takes 5 GiB
export const MAX_TIMER_MS = 2_147_483_647 // a longer setTimeout fires at once

type Bounded = IntegerOptions & { default: number }

const integer = (unit: string, options: Bounded) => Type.Integer({ unit, maximum: Number.MAX_SAFE_INTEGER, ...options })
const bytes = (options: Bounded) => integer('bytes', options)
const count = (options: Bounded) => integer('', { minimum: 1, ...options })
const milliseconds = (options: Bounded) => integer('milliseconds', { minimum: 100, maximum: MAX_TIMER_MS, ...options })
/** Or 0, which turns something off. */
const zeroOrMilliseconds = (options: Bounded) => Type.Union([Type.Literal(0), milliseconds(options)], { default: options.default })

/** A variable that is also an option of the plugin, by its path there. */
const option = <const Path extends string, Schema extends TSchema>(path: Path, schema: Schema): Schema & { option: Path } =>
  ({ ...schema, option: path })

/**
 * Every environment variable of the service, in the order in which they are documented; docs/configuration.md says what each means.
 * `default` is absent if the variable has none, and an empty list if unset means "any" or "none". `unit` says what an integer counts,
 * `option` which option of the plugin has the same meaning, default and bounds.
 */
export const ConfigSchema = Type.Object({
  ENV: Type.String({ default: 'development' }),
  NODE_ENV: Type.String({ default: 'development' }),
  HOST: Type.String({ default: '127.0.0.1' }),
  PORT: integer('', { default: 3000, minimum: 0, maximum: 65_535 }),
  LOG_LEVEL: Type.Union((['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const).map(level => Type.Literal(level)), { default: 'info' }),
  TRUST_PROXY: Type.Union([Type.Boolean(), Type.String()], { default: false }),
  B2_ENDPOINT: Type.Optional(option('b2.endpoint', Type.String())),
  B2_REGION: Type.Optional(option('b2.region', Type.String())),
  B2_BUCKET: Type.Optional(option('b2.bucket', Type.String())),
  B2_APPLICATION_KEY_ID: Type.Optional(option('b2.applicationKeyId', Type.String())),
  B2_APPLICATION_KEY: Type.Optional(option('b2.applicationKey', Type.String())),
  B2_KEY_PREFIX: option('keyPrefix', Type.String({ default: 'tracks/' })),
  B2_CONNECT_TIMEOUT_MS: option('b2.connectTimeoutMs', milliseconds({ default: 5_000 })),
  B2_STALL_TIMEOUT_MS: option('b2.stallTimeoutMs', milliseconds({ default: 10_000 })),
  B2_ACK_TIMEOUT_MS: option('b2.ackTimeoutMs', zeroOrMilliseconds({ default: 45_000 })),
  B2_MAX_ATTEMPTS: option('b2.maxAttempts', count({ default: 4 })),
  B2_PART_BYTES: option('b2.partBytes', bytes({
    default: 8_388_608, // 8 MiB
    minimum: SMALLEST_PART_BYTES,
    maximum: MAX_PART_BYTES,
  })),
  B2_FORCE_PATH_STYLE: option('b2.forcePathStyle', Type.Boolean({ default: true })),
  B2_UNFINISHED_MAX_AGE_MS: option('b2.unfinishedMaxAgeMs', zeroOrMilliseconds({
    default: 604_800_000, // 7 days
    minimum: 86_400_000, // a day
    maximum: Number.MAX_SAFE_INTEGER,
  })),
  LOCAL_STORAGE_DIR: option('local.dir', Type.String({ default: './storage' })),
  LOCAL_MIN_FREE_BYTES: option('local.minFreeBytes', bytes({ default: 0, minimum: 0 })),
  UPLOAD_MAX_BYTES: option('maxBytes', bytes({
    default: 1_073_741_824, // 1 GiB
    minimum: 1,
    maximum: MAX_PARTS * MAX_PART_BYTES,
  })),
  UPLOAD_MAX_CONCURRENT: option('maxConcurrent', count({ default: 1000 })),
  UPLOAD_ALLOWED_TYPES: option('allowedTypes', Type.Array(Type.String(), { default: [] })),
  UPLOAD_IDLE_TIMEOUT_MS: option('idleTimeoutMs', milliseconds({ default: 30_000 })),
  UPLOAD_MIN_RATE: option('minRate', integer('bytes per second', { default: 1024, minimum: 0 })),
  RESUMABLE_MAX_AGE_MS: option('resumable.maxAgeMs', zeroOrMilliseconds({ default: 86_400_000 })), // a day
  DOWNLOAD_MAX_CONCURRENT: option('downloads.maxConcurrent', count({ default: 1000 })),
  DOWNLOAD_IDLE_TIMEOUT_MS: option('downloads.idleTimeoutMs', milliseconds({ default: 60_000 })),
  REPLAY_WINDOW_BYTES: option('windowBytes', bytes({
    default: 33_554_432, // 32 MiB
    minimum: 1_048_576, // 1 MiB
  })),
  FALLBACK_BEYOND_WINDOW: option('fallbackBeyondWindow', Type.Union([Type.Literal('split'), Type.Literal('refuse')], { default: 'split' })),
  MEMORY_BUDGET_BYTES: option('memoryBudgetBytes', bytes({
    default: 268_435_456, // 256 MiB
    minimum: 33_554_432, // 32 MiB
  })),
  BREAKER_THRESHOLD: option('breakerThreshold', count({ default: 5, minimum: 0 })),
  BREAKER_RESET_MS: option('breakerResetMs', milliseconds({ default: 30_000 })),
  PROMOTE_INTERVAL_MS: option('promoteIntervalMs', zeroOrMilliseconds({ default: 60_000 })),
  PROMOTE_CONCURRENCY: option('promoteConcurrency', count({ default: 4, maximum: 32 })),
  API_KEYS: Type.Array(Type.Object({
    label: Type.Optional(Type.String()),
    token: Type.String(),
    scopes: Type.Optional(Type.Array(Type.Union(SCOPES.map(scope => Type.Literal(scope))))),
  }), { default: [] }),
  RATE_LIMIT_MAX: count({ default: 0, minimum: 0 }),
  RATE_LIMIT_WINDOW_MS: milliseconds({ default: 60_000 }),
  CORS_ORIGIN: Type.Array(Type.String(), { default: [] }),
  SHUTDOWN_GRACE_MS: option('shutdownGraceMs', milliseconds({ default: 30_000 })),
}, { additionalProperties: false })

/** The service's configuration: what the environment says, parsed, with the defaults filled in. */
export type Config = Static<typeof ConfigSchema>
export type Variable = keyof Config
