import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

// Runs all tests, of both tiers, with coverage, then holds what the service is made of to these bounds. --report: of the run before. What is not covered,
// and why, is in docs/coverage.md.
const BOUNDS = { lines: 97, branches: 93 }
const JUDGED = ['services', 'routes', 'plugins']

const root = fileURLToPath(new URL('../', import.meta.url))
const tap = (args, stdio = 'inherit') => spawnSync('tap', args, { cwd: root, stdio }).status === 0
const reports = ['json-summary', 'lcovonly', 'html'].map(format => `--coverage-report=${format}`)

if (!process.argv.includes('--report')) {
  const passed = tap(['build']) && tap(['--no-disable-coverage', '--coverage-report=none', 'test/tiers/*.test.ts'])
  if (!passed) process.exitCode = 1
}
giveSourcesBack(`${root}.tap/coverage`)
rmSync(`${root}.tap/report`, { recursive: true, force: true }) // so that none but this run's is judged
tap(['report', ...reports], 'ignore') // it calls for 100 % of everything

const report = JSON.parse(readFileSync(`${root}.tap/report/coverage-summary.json`, 'utf8'))
const files = Object.entries(report)
  .map(([path, counts]) => ({ ...counts, file: relative(root, path).split(sep).join('/') }))
  .filter(({ file }) => JUDGED.includes(file.split('/', 1)[0]))
if (files.length === 0) throw new Error('the report knows none of the files')

for (const { file } of files) {
  if (/(?:c8|v8|istanbul) ignore/.test(readFileSync(root + file, 'utf8'))) throw new Error(`${file} leaves something out by a comment`)
}
const page = readFileSync(`${root}docs/coverage.md`, 'utf8')
for (const { file, lines, branches } of files.sort((a, b) => a.branches.pct - b.branches.pct)) {
  if (lines.pct === 100 && branches.pct === 100) continue
  const isExplained = page.includes(`\`${file}\``)
  console.log(`${file}: ${lines.pct} % of lines, ${branches.pct} % of branches${isExplained ? '' : ', of which docs/coverage.md says nothing'}`)
  if (!isExplained) process.exitCode = 1
}
for (const [what, bound] of Object.entries(BOUNDS)) {
  const [covered, total] = ['covered', 'total'].map(count => files.reduce((sum, file) => sum + file[what][count], 0))
  const percent = 100 * covered / total
  console.log(`${what}: ${percent.toFixed(2)} % (at least ${bound} %)`)
  if (!(percent >= bound)) process.exitCode = 1
}

/** The source maps of tsx say `null` for each source; without that word, tap reads the source itself and can tell its lines. */
function giveSourcesBack (directory) {
  for (const name of readdirSync(directory)) {
    const coverage = JSON.parse(readFileSync(`${directory}/${name}`, 'utf8'))
    for (const { data } of Object.values(coverage['source-map-cache'] ?? {})) {
      if (data?.sourcesContent?.every(content => content === null)) delete data.sourcesContent
    }
    writeFileSync(`${directory}/${name}`, JSON.stringify(coverage))
  }
}
