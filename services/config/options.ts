import { isProduction, missingB2 } from './config.ts'
import type { Config } from './config.ts'

/** The plugin's options that a configuration means. */
export function optionsFromConfig (config: Config) {
  const missing = missingB2(config)
  return {
    missing,
    b2: missing.length > 0 ? undefined : b2Options(config),
    local: {
      dir: config.LOCAL_STORAGE_DIR,
      minFreeBytes: config.LOCAL_MIN_FREE_BYTES,
      required: isProduction(config),
    },
    keyPrefix: config.B2_KEY_PREFIX,
    maxBytes: config.UPLOAD_MAX_BYTES,
    maxConcurrent: config.UPLOAD_MAX_CONCURRENT,
    allowedTypes: config.UPLOAD_ALLOWED_TYPES,
    idleTimeoutMs: config.UPLOAD_IDLE_TIMEOUT_MS,
    minRate: config.UPLOAD_MIN_RATE,
    downloads: { maxConcurrent: config.DOWNLOAD_MAX_CONCURRENT, idleTimeoutMs: config.DOWNLOAD_IDLE_TIMEOUT_MS },
    windowBytes: config.REPLAY_WINDOW_BYTES,
    memoryBudgetBytes: config.MEMORY_BUDGET_BYTES,
    breakerThreshold: config.BREAKER_THRESHOLD,
    breakerResetMs: config.BREAKER_RESET_MS,
    promoteIntervalMs: config.PROMOTE_INTERVAL_MS,
    promoteConcurrency: config.PROMOTE_CONCURRENCY,
    shutdownGraceMs: config.SHUTDOWN_GRACE_MS,
  }
}

// Parts under way at once must fit the budget beside the one that is being filled.
const MAX_CONCURRENCY = 5

function b2Options (config: Config) {
  return {
    endpoint: config.B2_ENDPOINT!,
    region: config.B2_REGION!,
    bucket: config.B2_BUCKET!,
    applicationKeyId: config.B2_APPLICATION_KEY_ID!,
    applicationKey: config.B2_APPLICATION_KEY!,
    connectTimeoutMs: config.B2_CONNECT_TIMEOUT_MS,
    stallTimeoutMs: config.B2_STALL_TIMEOUT_MS,
    ackTimeoutMs: config.B2_ACK_TIMEOUT_MS,
    maxAttempts: config.B2_MAX_ATTEMPTS,
    partBytes: config.B2_PART_BYTES,
    forcePathStyle: config.B2_FORCE_PATH_STYLE,
    unfinishedMaxAgeMs: config.B2_UNFINISHED_MAX_AGE_MS,
    concurrency: Math.max(1, Math.min(MAX_CONCURRENCY, Math.floor(config.MEMORY_BUDGET_BYTES / config.B2_PART_BYTES) - 1)),
  }
}
