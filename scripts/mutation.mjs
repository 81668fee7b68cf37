import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, sep } from 'node:path'
import { parseArgs } from 'node:util'

// Changes the sources of services in small ways, and says which changes no test notices. All of services/ against all tests would take weeks,
// so it goes module by module, against the tests that stand where it stands or import it:
//
//   npm run mutation                                  all modules of services/
//   npm run mutation -- b2/redact memory/buffer-pool  these
//
// Newer versions of Stryker need Node.js 22.
const STRYKER = ['@stryker-mutator/core@9.6.1', '@stryker-mutator/tap-runner@9.6.1']
const filesIn = directory => readdirSync(directory, { recursive: true, encoding: 'utf8' }).map(file => `${directory}/${file.replaceAll(sep, '/')}`)
const tests = filesIn('test').filter(file => file.endsWith('.test.ts') && !file.startsWith('test/tiers/'))
const modules = filesIn('services').filter(file => file.endsWith('.ts')).map(nameOf).sort()
const imports = new Map([...tests, ...modules.map(name => `services/${name}.ts`)].map(file => [file, importsOf(file)]))

function nameOf (file) { return file.slice('services/'.length, -'.ts'.length) }

function importsOf (file) {
  return [...readFileSync(file, 'utf8').matchAll(/^import (?!type )[^']* from '(\.[^']+)'$/gm)].map(([, from]) => join(dirname(file), from).replaceAll(sep, '/'))
}

/** The tests that stand where the module stands, and those that import it. If there are none: those of the modules that import it. */
function testsOf (name, seen = new Set()) {
  seen.add(name)
  const file = `services/${name}.ts`
  const own = tests.filter(test => test.startsWith(`test/services/${name}`) && /^[./-]/.test(test.slice(`test/services/${name}`.length)))
  const found = new Set([...own, ...tests.filter(test => imports.get(test).includes(file))])
  if (found.size > 0) return [...found]
  const users = modules.filter(user => !seen.has(user) && imports.get(`services/${user}.ts`).includes(file))
  return [...new Set(users.flatMap(user => testsOf(user, seen)))]
}

const { positionals } = parseArgs({ allowPositionals: true, options: {} })
const unknown = positionals.filter(name => !modules.includes(name))
if (unknown.length > 0) {
  console.error(`unknown: ${unknown.join(', ')}. There are: ${modules.join(', ')}`)
  process.exit(2)
}

for (const name of positionals.length > 0 ? positionals : modules) {
  const testFiles = testsOf(name)
  console.log(`\n=== services/${name}.ts${testFiles.length > 0 ? '' : ': no tests'}`)
  if (testFiles.length === 0) continue
  const dir = '.tap/mutation'
  mkdirSync(dir, { recursive: true })
  const config = `${dir}/${name.replaceAll('/', '-')}.json`
  writeFileSync(config, JSON.stringify({
    testRunner: 'tap',
    plugins: ['@stryker-mutator/tap-runner'],
    tap: { testFiles, nodeArgs: ['--import=tsx'], forceBail: true },
    mutate: [`services/${name}.ts`],
    coverageAnalysis: 'perTest',
    // A change that makes a test hang is noticed then; a machine that is busy is not mistaken for that.
    timeoutMS: 10_000,
    // Most of the time goes by in tests that wait for what such a change keeps from happening.
    concurrency: 4,
    reporters: ['clear-text', 'json'],
    jsonReporter: { fileName: `${dir}/${name.replaceAll('/', '-')}.report.json` },
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
