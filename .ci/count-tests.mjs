import { readFileSync } from 'node:fs'

// tap's last line is `# { total: 42, pass: 41, fail: 1 }`, with further counts (skip, todo) where there are any.
const [, , code, ...files] = process.argv
const outputs = files.map(file => readFileSync(file, 'utf8'))
const summaries = outputs.map(output => output.match(/^# \{ total: .*\}$/gm)?.at(-1) ?? '')
const count = name => summaries.reduce((sum, summary) => sum + Number(new RegExp(`\\b${name}: (\\d+)`).exec(summary)?.[1] ?? 0), 0)
// What failed, once more at the end with the report that follows it: an output this long is seldom read, or kept, whole.
for (const output of outputs) {
  for (const [report] of output.matchAll(/^ *not ok .*(?:\n +---(?:\n.*)*?\n +\.\.\.)?/gm)) console.log(report.slice(0, 3_000))
}
// .ci/run installs these, so that nobody takes a test for passed that could not run.
const INSTALLED = /\b(?:curl|jq|chromium|nginx|promtool)\b/i
const skipped = outputs.flatMap(output => [...output.matchAll(/^ *ok \d+ - (.*# SKIP.*)$/gm)].map(([, test]) => test))
const unlooked = skipped.filter(test => INSTALLED.test(test.replace(/.*# SKIP/, '')))
for (const test of skipped) console.log(`${unlooked.includes(test) ? 'not ok, as it was skipped' : 'skipped'}: ${test}`)
// A run that failed although no assertion did (or that has no summary at all) is a failure, too.
const failed = unlooked.length + Math.max(count('fail'), code === '0' && summaries.every(summary => /total: [1-9]/.test(summary)) ? 0 : 1)
console.log(`\n${count('pass')} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
