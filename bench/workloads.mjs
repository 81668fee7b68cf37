const MB = 1_000_000

const B2 = ['service', 'put', 'peer']
const LOCAL = ['service', 'put', 'disk', 'disk-fsync']

/**
 * What is measured. `files` says what clients send: `size` in bytes (several: taken in turn), `concurrency` at a time,
 * and `count` of them or as many as `seconds` allow.
 *
 * - `warm`: what is sent before; it tells a server that has just started from one that runs.
 * - `tls`: over https; the client's side is http throughout.
 * - `latencyMs`, `bytesPerSecond`: of the store, per connection. `b2Down`: it refuses connections.
 * - `scaled`: which of `files` the option `--scale` makes smaller.
 * - `short`: part of a short run, at this scale.
 * - `env`: of the server.
 * - `slow`: clients that send slowly all the while; they don't count, but for how they end.
 */
export const WORKLOADS = {
  '1gb': {
    title: 'one 1 GB file',
    files: { size: 1_000 * MB, count: 1, concurrency: 1 },
    warm: { size: 20 * MB, count: 4, concurrency: 1 },
    scaled: 'size',
    short: 0.25,
    contestants: B2,
  },
  '16x64mb': {
    title: '16 × 64 MB at once',
    files: { size: 64 * MB, count: 16, concurrency: 16 },
    warm: { size: 20 * MB, count: 4, concurrency: 4 },
    scaled: 'size',
    short: 0.25,
    contestants: B2,
  },
  '200x5mb': {
    title: '200 × 5 MB at once',
    files: { size: 5 * MB, count: 200, concurrency: 200 },
    warm: { size: 5 * MB, count: 16, concurrency: 16 },
    scaled: 'count',
    short: 0.25,
    contestants: B2,
  },
  '100kb': {
    title: '100 KB, 64 at a time, warm',
    files: { size: 0.1 * MB, count: 6_000, concurrency: 64 },
    // The SDK is compiled only after some thousand calls.
    warm: { size: 0.1 * MB, count: 4_000, concurrency: 64 },
    scaled: 'count',
    short: 0.4,
    contestants: B2,
  },
  latency: {
    title: '256 MB over 30 ms, 50 MB/s per connection',
    files: { size: 256 * MB, count: 1, concurrency: 1 },
    warm: { size: 20 * MB, count: 2, concurrency: 1 },
    latencyMs: 30,
    bytesPerSecond: 50 * MB,
    scaled: 'size',
    short: 0.5,
    contestants: ['service', 'peer'],
  },
  https: {
    title: '8 × 64 MB at once',
    files: { size: 64 * MB, count: 8, concurrency: 8 },
    warm: { size: 20 * MB, count: 4, concurrency: 4 },
    tls: true,
    scaled: 'size',
    short: 0.25,
    contestants: B2,
  },
  resumable: {
    title: '8 × 64 MB at once, resumable',
    files: { size: 64 * MB, count: 8, concurrency: 8 },
    warm: { size: 20 * MB, count: 4, concurrency: 4 },
    tls: true,
    scaled: 'size',
    contestants: ['resumable', 'put', 'tus-peer'],
  },
  'rss-1': throttled(1, 10, 2),
  'rss-16': throttled(16, 10),
  'rss-64': { ...throttled(64, 5), short: 1 },
  'rss-256': throttled(256, 2),
  'rss-256-512mib': { ...throttled(256, 2), title: '20 MB, 256 at a time, 512 MiB budget, 30 ms, 2 MB/s per connection', env: { MEMORY_BUDGET_BYTES: '536870912' } },
  'local-1gb': {
    title: 'B2 down: one 1 GB file',
    files: { size: 1_000 * MB, count: 1, concurrency: 1 },
    warm: { size: 20 * MB, count: 4, concurrency: 1 },
    b2Down: true,
    scaled: 'size',
    contestants: LOCAL,
  },
  'local-16x64mb': {
    title: 'B2 down: 16 × 64 MB at once',
    files: { size: 64 * MB, count: 16, concurrency: 16 },
    warm: { size: 20 * MB, count: 4, concurrency: 4 },
    b2Down: true,
    scaled: 'size',
    short: 0.25,
    contestants: LOCAL,
  },
  'local-200x5mb': {
    title: 'B2 down: 200 × 5 MB at once',
    files: { size: 5 * MB, count: 200, concurrency: 200 },
    warm: { size: 5 * MB, count: 16, concurrency: 16 },
    b2Down: true,
    scaled: 'count',
    contestants: LOCAL,
  },
  'local-100kb': {
    title: 'B2 down: 100 KB, 64 at a time, warm',
    files: { size: 0.1 * MB, count: 6_000, concurrency: 64 },
    warm: { size: 0.1 * MB, count: 2_000, concurrency: 64 },
    b2Down: true,
    scaled: 'count',
    contestants: LOCAL,
  },
  'fast-alone': {
    title: '4 fast clients, alone',
    files: { size: 20 * MB, concurrency: 4, seconds: 40 },
    warm: { size: 20 * MB, count: 4, concurrency: 4 },
    scaled: 'seconds',
    contestants: ['service', 'peer'],
  },
  'slow-clients': {
    title: '4 fast clients beside 1000 at 10 KB/s',
    files: { size: 20 * MB, concurrency: 4, seconds: 40 },
    warm: { size: 20 * MB, count: 4, concurrency: 4 },
    slow: { clients: 1_000, size: 20 * MB, bytesPerSecond: 10_000 },
    // By default the service takes 1000 uploads at once, and the fast ones come on top.
    env: { UPLOAD_MAX_CONCURRENT: '1100' },
    scaled: 'seconds',
    contestants: ['service', 'peer'],
  },
  endurance: {
    title: 'memory over time, then idle',
    files: { size: [0.1 * MB, 5 * MB, 0.1 * MB, 1 * MB, 0.1 * MB, 12 * MB, 40 * MB], concurrency: 16, seconds: 120 },
    warm: { size: 0.1 * MB, count: 500, concurrency: 16 },
    scaled: 'seconds',
    watched: { samples: 12, idleSeconds: 30 },
    rounds: 1,
    onRequest: true,
    contestants: ['service'],
  },
}

/** Peak memory with many 20 MB files, which B2 takes slowly. */
function throttled (concurrency, megabytesPerSecond, count = concurrency) {
  return {
    title: `20 MB, ${concurrency} at a time, 30 ms, ${megabytesPerSecond} MB/s per connection`,
    files: { size: 20 * MB, count, concurrency },
    warm: { size: 0.1 * MB, count: 50, concurrency: 4 },
    tls: true,
    latencyMs: 30,
    bytesPerSecond: megabytesPerSecond * MB,
    scaled: 'size',
    contestants: ['service', 'peer'],
  }
}

/** A workload made smaller; `seconds` replaces its own duration. */
export function scaleWorkload (workload, scale, seconds) {
  const files = { ...workload.files }
  const warm = { ...workload.warm, count: atLeastOne(workload.warm.count * scale) }
  if (workload.scaled === 'size') {
    files.size = atLeastOne(files.size * scale)
    warm.size = atLeastOne(warm.size * scale)
  } else if (workload.scaled === 'count') {
    files.count = atLeastOne(files.count * scale)
    files.concurrency = Math.min(files.concurrency, files.count)
  } else {
    files.seconds = seconds ?? Math.max(2, files.seconds * scale)
  }
  const isSmaller = scale < 1 && !(workload.scaled === 'seconds' && seconds !== undefined)
  return { ...workload, files, warm, title: isSmaller ? `${workload.title} (${workload.scaled} × ${Number(scale.toPrecision(2))})` : workload.title }
}

function atLeastOne (number) {
  return Math.max(1, Math.round(number))
}
