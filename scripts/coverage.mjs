import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

// Runs all tests with coverage, then holds what the service is made of to these bounds. --report: of the run before.
const BOUNDS = { lines: 97, branches: 93 }
const JUDGED = ['services', 'routes', 'plugins']

const root = fileURLToPath(new URL('../', import.meta.url))
if (!process.argv.includes('--report')) {
  const tap = args => execFileSync('tap', args, { cwd: root, stdio: 'inherit' })
  tap(['build'])
  tap(['--no-disable-coverage', '--coverage-report=json-summary', '--coverage-report=lcovonly', '--coverage-report=html'])
}

const report = JSON.parse(readFileSync(new URL('../.tap/report/coverage-summary.json', import.meta.url), 'utf8'))
const files = Object.entries(report)
  .map(([path, counts]) => ({ ...counts, file: relative(root, path).split(sep).join('/') }))
  .filter(({ file }) => JUDGED.includes(file.split('/', 1)[0]))
if (files.length === 0) throw new Error('the report knows none of the files')

for (const { file } of files) {
  if (/(?:c8|v8|istanbul) ignore/.test(readFileSync(new URL(`../${file}`, import.meta.url), 'utf8'))) throw new Error(`${file} leaves something out by a comment`)
}
for (const { file, lines, branches } of files.sort((a, b) => a.branches.pct - b.branches.pct)) {
  if (lines.pct < 100 || branches.pct < 100) console.log(`${file}: ${lines.pct} % of lines, ${branches.pct} % of branches`)
}
for (const [what, bound] of Object.entries(BOUNDS)) {
  const [covered, total] = ['covered', 'total'].map(count => files.reduce((sum, file) => sum + file[what][count], 0))
  const percent = 100 * covered / total
  console.log(`${what}: ${percent.toFixed(2)} % (at least ${bound} %)`)
  if (percent < bound) process.exitCode = 1
}
