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
const LOCAL = ['local-store', 'local-store-faults', 'local-store-reads', 'local-store-kills', 'local-store-pending', 'local-store-plugin']
const PROMOTION = ['promotion-too-late', 'promotion-looks', 'promotion-faults', 'promotion', 'promotion-damage']
const UPLOAD = ['upload-routes', 'fallback-memory', 'fault-matrix-small']
const TESTS = {
  'audio-tags': ['audio-tags', 'fuzz-audio'],
  'b2/cleanup': ['b2-cleanup', 'b2-cleanup-wanted', 'b2-cleanup-sweep', 'b2-cleanup-notes'],
  'b2/client-view': ['b2-signed-parts', ...UPLOAD],
  'b2/error-codes': ['b2-error-codes'],
  'b2/leftover-list': ['b2-leftovers', 'b2-cleanup', 'b2-cleanup-notes'],
  'b2/leftover-removal': ['b2-leftovers', 'b2-cleanup', 'b2-cleanup-wanted', 'b2-cleanup-sweep'],
  'b2/leftovers': ['b2-leftovers', 'b2-cleanup', 'b2-cleanup-wanted'],
  'b2/object-reader': ['b2-reads', 'content-conditional'],
  'b2/object-receipt': ['object-receipt'],
  'b2/object-stream': ['b2-reads', 'content-readers'],
  'b2/object-writer': ['b2-signed-parts', 'b2-receipts', ...UPLOAD],
  'b2/part-feed': ['part-feed'],
  'b2/read-error': ['b2-redact', 'b2-reads'],
  'b2/read-requests': ['b2-reads', 'delete'],
  'b2/redact': ['b2-redact', 'secrets'],
  'b2/unfinished-sweep': ['b2-cleanup-sweep'],
  'buffer-pool': ['buffer-pool', 'intake'],
  'check-options': ['plugin-options'],
  'checked-stream': ['checked-stream'],
  'circuit-breaker': ['circuit-breaker'],
  'client-pace': ['client-pace'],
  'closing-lines': ['upload-routes', 'correlation-logs'],
  config: ['config', 'config-plugin'],
  'config-values': ['config'],
  'content-range': ['content-conditional', 'content'],
  'content-type': ['content-type'],
  'file-names': ['upload-routes', 'fuzz-names'],
  'held-parts': ['intake', ...UPLOAD],
  'id3-trim': ['audio-tags', 'fuzz-audio'],
  intake: ['intake', ...UPLOAD],
  'local-claims': [...LOCAL, ...PROMOTION],
  'local-directory': LOCAL,
  'local-errors': [...LOCAL, 'promotion-too-late'],
  'local-file-writer': LOCAL,
  'local-free-space': LOCAL,
  'local-names': LOCAL,
  'local-part-file': LOCAL,
  'local-pending': LOCAL,
  'local-reader': LOCAL,
  'local-receipts': [...LOCAL, 'receipts'],
  'local-small-file': LOCAL,
  'local-stamp': LOCAL,
  'local-store': [...LOCAL, 'local-store-sweep'],
  'local-sweep': [...LOCAL, 'local-store-sweep'],
  'local-walk': LOCAL,
  log: ['promotion-looks', 'correlation-logs'],
  'memory-account': ['memory-account'],
  metrics: ['metrics'],
  'ogg-duration': ['audio-tags', 'fuzz-audio'],
  'part-bytes': ['part-bytes'],
  'part-tokenizer': ['fuzz-audio', 'audio-tags'],
  preconditions: ['content-conditional', 'fuzz-range'],
  'promotion-file': [...PROMOTION, 'hooks', 'promotion-two-owners'],
  'promotion-outcome': [...PROMOTION, 'hooks'],
  'promotion-parts': PROMOTION,
  'promotion-pass': PROMOTION,
  'promotion-queue': ['promotion-queue'],
  'promotion-report': PROMOTION,
  'promotion-upload': PROMOTION,
  receiver: ['upload-limits', ...UPLOAD],
  'stored-files': ['delete', 'receipts'],
  'trace-context': ['trace-context'],
  track: ['b2-receipts', 'upload-routes'],
  transfer: UPLOAD,
  'under-way': ['under-way'],
  'until-aborted': ['hooks'],
  'upload-errors': ['error-shape', 'upload-routes'],
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
