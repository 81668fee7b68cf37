import { readFileSync } from 'node:fs'

// tap's last line is `# { total: 42, pass: 41, fail: 1 }`, with further counts (skip, todo) where there are any.
const [, , code, ...files] = process.argv
const summaries = files.map(file => readFileSync(file, 'utf8').match(/^# \{ total: .*\}$/gm)?.at(-1) ?? '')
const count = name => summaries.reduce((sum, summary) => sum + Number(new RegExp(`\\b${name}: (\\d+)`).exec(summary)?.[1] ?? 0), 0)
// A run that failed although no assertion did (or that has no summary at all) is a failure, too.
const failed = Math.max(count('fail'), code === '0' && summaries.every(summary => /total: [1-9]/.test(summary)) ? 0 : 1)
console.log(`\n${count('pass')} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
