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
