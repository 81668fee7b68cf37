import { readFileSync } from 'node:fs'
import { findSecret, withoutSecret } from './secrets.ts'

// Looks for secrets in files of output, as the check of what test processes write does while they run, and ends with 1 where
// there is one. Assertions' names are left out: they may say what a test sends.
const ASSERTION = /^\s*(?:ok\b|not ok\b|#)/

let count = 0
for (const file of process.argv.slice(2)) {
  for (const [index, line] of readFileSync(file, 'utf8').split('\n').entries()) {
    const secret = ASSERTION.test(line) ? undefined : findSecret(line)
    if (secret === undefined) continue
    count++
    console.error(`${file}:${index + 1}: ${secret.kind}: ${withoutSecret(line, secret)}`)
  }
}
process.exitCode = count === 0 ? 0 : 1
