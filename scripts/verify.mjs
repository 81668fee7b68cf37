import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'

// What takes too long for every change: hours. Goes through all of it, and says at the end what failed.
const npm = (...args) => ['npm', args]
const onNode = (version, ...args) => npm('exec', '--yes', `--package=node@${version}`, '--', ...args)
const { values: { minutes, seed }, positionals } = parseArgs({
  allowPositionals: true,
  options: { minutes: { type: 'string', default: '60' }, seed: { type: 'string', default: String(Date.now() % 1_000_000) } },
})
// For the loops that go by it, and for the fuzzing; both are in what these files import.
const LOOPS = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .map(file => `test/${file}`)
  .filter(file => file.endsWith('.test.ts') && /\/run\/(?:loops|fuzz)\.ts'/.test(readFileSync(file, 'utf8')))
const LONG = { LONG_LOOPS: 'true', FUZZ_RUNS: '5000', FUZZ_SEED: seed }
const STEPS = {
  'node-20': onNode(20, 'npm', 'run', 'test:all'),
  'node-22': onNode(22, 'npm', 'run', 'test:all'),
  'node-24': onNode(24, 'npm', 'run', 'test:all'),
  real: npm('run', 'test:real'),
  loops: [...npm('exec', '--', 'tap', '--timeout=0', ...LOOPS), LONG],
  coverage: npm('run', 'coverage'),
  campaign: npm('run', 'campaign', '--', '--seed', seed, '--minutes', minutes),
  mutation: npm('run', 'mutation'),
}

const unknown = positionals.filter(name => !Object.hasOwn(STEPS, name))
if (unknown.length > 0) {
  console.error(`unknown: ${unknown.join(', ')}. npm run verify -- [--minutes N] [--seed N] [${Object.keys(STEPS).join('|')}]…`)
  process.exit(2)
}

const failed = []
for (const name of positionals.length > 0 ? positionals : Object.keys(STEPS)) {
  console.log(`\n=== ${name}`)
  const [program, args, env] = STEPS[name]
  const { status, signal } = spawnSync(program, args, { stdio: 'inherit', env: { ...process.env, ...env } })
  if (signal !== null) process.exit(130)
  if (status !== 0) failed.push(name)
}
console.log(failed.length > 0 ? `\nfailed: ${failed.join(', ')}` : '\nall is well')
process.exitCode = failed.length > 0 ? 1 : 0
