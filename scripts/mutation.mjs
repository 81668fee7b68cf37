import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'

// Changes the sources of services in small ways, and says which changes no test notices. All of services/ against all tests would take weeks,
// so it goes module by module, against the tests that are there for it:
//
//   npm run mutation                              all modules of the table
//   npm run mutation -- buffer-pool b2/leftovers  these
//
// Newer versions of Stryker need Node.js 22.
const STRYKER = ['@stryker-mutator/core@9.6.1', '@stryker-mutator/tap-runner@9.6.1']
const LOCAL = ['local/store', 'local/store-faults', 'local/store-reads', 'local/store-kills', 'local/store-pending', 'local/store-plugin']
const PROMOTION = ['promotion/too-late', 'promotion/looks', 'promotion/faults', 'promotion/whole', 'promotion/damage']
const UPLOAD = ['uploads/routes', 'memory/fallback', 'fault-matrix/small']
const TESTS = {
  'audio-tags': ['audio/tags-values', 'audio/tags', 'docs/openapi'],
  'b2/cleanup': ['b2/cleanup-turns', 'b2/cleanup', 'b2/cleanup-wanted', 'b2/cleanup-sweep', 'b2/cleanup-notes', 'b2/cleanup-pace'],
  'b2/client': ['b2/client'],
  'b2/client-view': ['b2/client-view-requests', 'b2/client-view'],
  'b2/error-codes': ['b2/error-codes'],
  'b2/leftover-list': ['b2/leftover-list', 'b2/leftover-list-settle'],
  'b2/leftover-removal': ['b2/leftovers', 'b2/cleanup', 'b2/cleanup-wanted', 'b2/cleanup-sweep'],
  'b2/leftovers': ['b2/leftovers', 'b2/cleanup', 'b2/cleanup-wanted'],
  'b2/object-reader': ['b2/object-reader', 'b2/surplus-bytes', 'b2/reads'],
  'b2/object-receipt': ['b2/object-receipt'],
  'b2/object-stream': ['b2/reads', 'content/readers'],
  'b2/object-writer': ['b2/object-writer', 'b2/object-writer-waits'],
  'b2/part-feed': ['b2/part-feed'],
  'b2/part-upload': ['b2/part-upload'],
  'b2/read-error': ['b2/redact', 'b2/reads'],
  'b2/read-requests': ['b2/read-requests'],
  'b2/redact': ['b2/redact'],
  'b2/request-handler': ['b2/request-handler', 'b2/request-handler-stalls', 'b2/surplus-bytes'],
  'b2/retry-strategy': ['b2/retry-strategy'],
  'b2/send-queues': ['b2/send-queues'],
  'b2/stall-watch': ['b2/stall-watch'],
  'b2/store': ['b2/store-options'],
  'b2/unfinished-sweep': ['b2/cleanup-sweep'],
  'buffer-pool': ['intake/buffer-pool', 'intake/intake'],
  'check-options': ['uploads/plugin-options'],
  'check-store-arguments': ['b2/check-store-arguments'],
  'checked-stream': ['b2/checked-stream'],
  'circuit-breaker': ['b2/circuit-breaker'],
  'client-pace': ['intake/client-pace'],
  'closing-lines': ['server/closing-lines'],
  config: ['server/config', 'server/config-plugin'],
  'config-schema': ['server/config'],
  'config-values': ['server/config-values', 'server/config'],
  'content-range': ['content/range'],
  'content-type': ['content/content-type'],
  'end-signals': ['server/end-signals'],
  'file-names': ['local/file-names'],
  'garbage-collection': ['memory/garbage-collection'],
  'held-parts': ['intake/intake', ...UPLOAD],
  'id3-trim': ['audio/id3-trim'],
  intake: ['intake/intake-source', 'intake/intake'],
  'local-claims': ['local/claims'],
  'local-directory': ['local/directory'],
  'local-errors': [...LOCAL, 'promotion/too-late'],
  'local-file-writer': LOCAL,
  'local-free-space': ['local/free-space'],
  'local-heartbeat': ['local/heartbeat'],
  'local-names': LOCAL,
  'local-part-file': LOCAL,
  'local-pending': ['local/pending'],
  'local-reader': LOCAL,
  'local-receipts': [...LOCAL, 'content/receipts'],
  'local-small-file': LOCAL,
  'local-stamp': LOCAL,
  'local-status': ['local/status'],
  'local-store': ['local/store-begin-end', 'local/store', 'local/store-faults'],
  'local-sweep': ['local/sweep'],
  'local-walk': ['local/walk'],
  log: ['server/log'],
  'memory-account': ['memory/account', 'memory/simulation'],
  metrics: ['server/metrics-registry'],
  'ogg-duration': ['audio/ogg-duration'],
  options: ['uploads/options'],
  'part-bytes': ['b2/part-bytes'],
  'part-tokenizer': ['intake/part-tokenizer'],
  preconditions: ['content/conditional', 'intake/fuzz-range'],
  'process-metrics': ['server/process-metrics'],
  promotion: ['promotion/promoter', 'promotion/promoter-timers'],
  'promotion-file': [...PROMOTION, 'uploads/hooks', 'promotion/two-owners'],
  'promotion-outcome': [...PROMOTION, 'uploads/hooks'],
  'promotion-parts': PROMOTION,
  'promotion-pass': PROMOTION,
  'promotion-queue': ['promotion/queue'],
  'promotion-upload': ['promotion/upload', ...PROMOTION],
  receiver: ['intake/receiver', 'intake/receiver-end'],
  'stored-files': ['local/stored-files', 'local/stored-files-removal'],
  'string-enum': ['uploads/string-enum'],
  'trace-context': ['server/trace-context'],
  track: ['audio/track', 'docs/openapi'],
  transfer: ['uploads/transfer-whole', 'uploads/transfer-circuit', 'uploads/transfer-parts', 'uploads/transfer-tags'],
  'under-way': ['server/under-way'],
  'until-aborted': ['b2/until-aborted'],
  'upload-errors': ['uploads/errors'],
  uploads: ['uploads/uploads'],
}

const { positionals } = parseArgs({ allowPositionals: true, options: {} })
const unknown = positionals.filter(name => !Object.hasOwn(TESTS, name))
if (unknown.length > 0) {
  console.error(`unknown: ${unknown.join(', ')}. There are: ${Object.keys(TESTS).join(', ')}`)
  process.exit(2)
}

for (const name of positionals.length > 0 ? positionals : Object.keys(TESTS)) {
  console.log(`\n=== services/${name}.ts`)
  const dir = '.tap/mutation'
  mkdirSync(dir, { recursive: true })
  const config = `${dir}/${name.replace('/', '-')}.json`
  writeFileSync(config, JSON.stringify({
    testRunner: 'tap',
    plugins: ['@stryker-mutator/tap-runner'],
    tap: { testFiles: TESTS[name].map(test => `test/${test}.test.ts`), nodeArgs: ['--import=tsx'], forceBail: true },
    mutate: [`services/${name}.ts`],
    coverageAnalysis: 'perTest',
    // A change that makes a test hang is noticed then; a machine that is busy is not mistaken for that.
    timeoutMS: 10_000,
    // Most of the time goes by in tests that wait for what such a change keeps from happening.
    concurrency: 4,
    reporters: ['clear-text', 'json'],
    jsonReporter: { fileName: `${dir}/${name.replace('/', '-')}.report.json` },
    clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
    // There is no need to rewrite it, and for that Stryker would want a compiler of its own.
    tsconfigFile: 'none.json',
    tempDirName: '.tap/mutants',
    thresholds: { break: 0 },
  }))
  const { status, signal } = spawnSync('npm', ['exec', '--yes', ...STRYKER.map(name => `--package=${name}`), '--', 'stryker', 'run', config], {
    stdio: 'inherit',
    // On a busy machine the tests take longer than tap's 30 seconds; what hangs is Stryker's to end.
    env: { ...process.env, TAP_TIMEOUT: '300' },
  })
  if (signal !== null) process.exit(130)
  if (status !== 0) process.exitCode = 1
}
