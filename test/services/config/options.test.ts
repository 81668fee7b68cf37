import t from 'tap'
import { parseConfig } from '../../../services/config/config.ts'
import { optionsFromConfig } from '../../../services/config/options.ts'

const MIB = 1_048_576

const B2 = {
  B2_ENDPOINT: 'https://s3.us-west-004.backblazeb2.com',
  B2_BUCKET: 'songs',
  B2_APPLICATION_KEY_ID: 'an-id',
  B2_APPLICATION_KEY: 'a-key',
}

// No two numbers are the same.
const EVERYTHING = {
  ...B2,
  B2_REGION: 'mine',
  B2_KEY_PREFIX: 'a/',
  B2_CONNECT_TIMEOUT_MS: '101',
  B2_STALL_TIMEOUT_MS: '102',
  B2_ACK_TIMEOUT_MS: '111',
  B2_MAX_ATTEMPTS: '2',
  B2_PART_BYTES: String(6 * MIB),
  B2_FORCE_PATH_STYLE: 'false',
  B2_UNFINISHED_MAX_AGE_MS: '86400001',
  LOCAL_STORAGE_DIR: './files',
  LOCAL_MIN_FREE_BYTES: '103',
  UPLOAD_MAX_BYTES: '104',
  UPLOAD_MAX_CONCURRENT: '105',
  UPLOAD_ALLOWED_TYPES: 'audio/*',
  UPLOAD_IDLE_TIMEOUT_MS: '106',
  UPLOAD_MIN_RATE: '107',
  REPLAY_WINDOW_BYTES: String(7 * MIB),
  FALLBACK_BEYOND_WINDOW: 'refuse',
  MEMORY_BUDGET_BYTES: String(64 * MIB),
  BREAKER_THRESHOLD: '3',
  BREAKER_RESET_MS: '108',
  PROMOTE_INTERVAL_MS: '109',
  PROMOTE_CONCURRENCY: '7',
  SHUTDOWN_GRACE_MS: '110',
  RESUMABLE_MAX_AGE_MS: '114',
  DOWNLOAD_MAX_CONCURRENT: '112',
  DOWNLOAD_IDLE_TIMEOUT_MS: '113',
}

t.test('each variable is the option that means the same', async t => {
  t.strictSame(optionsFromConfig(parseConfig(EVERYTHING)), {
    missing: [],
    b2: {
      endpoint: 'https://s3.us-west-004.backblazeb2.com',
      region: 'mine',
      bucket: 'songs',
      applicationKeyId: 'an-id',
      applicationKey: 'a-key',
      connectTimeoutMs: 101,
      stallTimeoutMs: 102,
      ackTimeoutMs: 111,
      maxAttempts: 2,
      partBytes: 6 * MIB,
      forcePathStyle: false,
      unfinishedMaxAgeMs: 86_400_001,
      concurrency: 5,
    },
    local: { dir: './files', minFreeBytes: 103, required: false },
    keyPrefix: 'a/',
    maxBytes: 104,
    maxConcurrent: 105,
    allowedTypes: ['audio/*'],
    idleTimeoutMs: 106,
    minRate: 107,
    windowBytes: 7 * MIB,
    fallbackBeyondWindow: 'refuse',
    memoryBudgetBytes: 64 * MIB,
    breakerThreshold: 3,
    breakerResetMs: 108,
    promoteIntervalMs: 109,
    promoteConcurrency: 7,
    shutdownGraceMs: 110,
    downloads: { maxConcurrent: 112, idleTimeoutMs: 113 },
    resumable: { maxAgeMs: 114 },
  })
})

t.test('an age of 0 turns resumable uploads off', async t => {
  t.equal(optionsFromConfig(parseConfig({ RESUMABLE_MAX_AGE_MS: '0' })).resumable, false)
})

t.test('local storage is required in production', async t => {
  t.equal(optionsFromConfig(parseConfig({ ...B2, ENV: 'production' })).local.required, true)
})

t.test('without all of its variables there is no B2', async t => {
  const { B2_BUCKET, ...rest } = B2
  t.match(optionsFromConfig(parseConfig(rest)), { missing: ['B2_BUCKET'], b2: undefined })
  t.match(optionsFromConfig(parseConfig(B2)), { missing: [], b2: { region: 'us-west-004' } })
})

t.test('parts under way at once fit the memory budget beside the one that is being filled', async t => {
  for (const [budget, part, concurrency] of [[256, 8, 5], [48, 8, 5], [47, 8, 4], [40, 8, 4], [32, 8, 3], [64, 31, 1]] as const) {
    const config = parseConfig({ ...B2, MEMORY_BUDGET_BYTES: String(budget * MIB), B2_PART_BYTES: String(part * MIB), REPLAY_WINDOW_BYTES: String(MIB) })
    t.equal(optionsFromConfig(config).b2?.concurrency, concurrency, `${part} of ${budget} MiB`)
  }
  const config = { ...parseConfig(B2), MEMORY_BUDGET_BYTES: 5 * MIB, B2_PART_BYTES: 8 * MIB }
  t.equal(optionsFromConfig(config).b2?.concurrency, 1, 'and never none')
})
