import { describeFailure } from './error-codes.ts'
import type { B2Failure } from './error-codes.ts'

const LONGEST_RAW_WORDS = 500

/** Replaces configured secrets, and key ids that B2's messages quote, by `***`. */
export function createRedactor (secrets: readonly string[]): (text: string) => string {
  // The longest first, since one may be part of another.
  const known = secrets.filter(secret => secret !== '').sort((a, b) => b.length - a.length)
  return text => {
    let redacted = text
    for (const secret of known) redacted = redacted.replaceAll(secret, '***')
    return redacted.replace(/(key\s*(?:id\s*)?(?::\s*)?)(['"`])[^'"`]*\2/gi, '$1$2***$2').replace(/(Credential=)[^/\s,]+/gi, '$1***')
  }
}

/** `describeFailure` without the store's secrets in B2's words, which are cut to 500 characters. */
export function describeRedacted (error: unknown, redact: (text: string) => string): B2Failure {
  const described = describeFailure(error)
  // Cut last: half a secret would not be recognized.
  return { ...described, raw: redact(described.raw).slice(0, LONGEST_RAW_WORDS) }
}
