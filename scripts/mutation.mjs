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
const TESTS = {
  'b2/error-codes': ['b2-error-codes'],
  'b2/leftovers': ['b2-leftovers'],
  'buffer-pool': ['buffer-pool'],
  'client-pace': ['client-pace'],
  'content-type': ['content-type'],
  'check-options': ['plugin-options'],
  'config-values': ['config'],
  'content-range': ['content-conditional', 'content'],
  'file-names': ['upload-routes', 'fuzz-names'],
  'circuit-breaker': ['circuit-breaker'],
  'id3-trim': ['audio-tags', 'fuzz-audio'],
  'memory-account': ['memory-account'],
  'ogg-duration': ['audio-tags', 'fuzz-audio'],
  'part-tokenizer': ['fuzz-audio', 'audio-tags'],
  preconditions: ['content-conditional', 'fuzz-range'],
  'trace-context': ['trace-context'],
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
    reporters: ['clear-text'],
    clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
    // There is no need to rewrite it, and for that Stryker would want a compiler of its own.
    tsconfigFile: 'none.json',
    tempDirName: '.tap/mutants',
    thresholds: { break: 0 },
  }))
  const { status, signal } = spawnSync('npm', ['exec', '--yes', ...STRYKER.map(name => `--package=${name}`), '--', 'stryker', 'run', config], { stdio: 'inherit' })
  if (signal !== null) process.exit(130)
  if (status !== 0) process.exitCode = 1
}
