/** Something secret in a text. */
export interface FoundSecret {
  /** What it is. */
  readonly kind: string
  /** Where it begins in the text, and how long it is. */
  readonly index: number
  readonly length: number
}

/** What looks like a secret, whoever made it. In JSON within JSON quotes are escaped. */
const FORMS: readonly (readonly [string, RegExp])[] = [
  ['an application key', /\bK00\d[A-Za-z0-9+/]{27}(?![A-Za-z0-9+/])/],
  ['a key id', /\b00\d[0-9a-f]{22}\b/],
  ['credentials', /\b(?:Bearer|Basic) +[A-Za-z0-9._~+/-]{16,}=*/],
  ['a signed Authorization header', /AWS4-HMAC-SHA256 +Credential=/],
  ['a signature', /\b(?:X-Amz-)?Signature=[0-9a-f]{64}/i],
  ['credentials of a presigned URL', /\bX-Amz-Credential=[0-9a-z]/i],
  ['a session token', /\bx-amz-security-token\b/i],
  ['a header with credentials', /"(?:authorization|proxy-authorization|cookie|set-cookie|x-api-key)\\*" *: *\\*"(?!\*\*\*)/i],
]

// Short ones are words, too.
const SHORTEST_CONFIGURED = 5
const SHORTEST_SENT = 8

const known = new Map<string, string>()
const signatures = new Set<string>()
let anyKnown: RegExp | undefined

/** From now on this is a secret. */
export function learn (secret: string | undefined, kind: string, shortest = SHORTEST_CONFIGURED): void {
  if (secret === undefined || secret.length < shortest || known.has(secret)) return
  known.set(secret, kind)
  const escaped = [...known.keys()].map(text => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  anyKnown = new RegExp(`(?<![\\w-])(?:${escaped.join('|')})(?![\\w-])`)
}

/** Learns what the environment of a service has of secrets. */
export function learnFromEnv (env: Record<string, string | undefined>): void {
  learn(env['B2_APPLICATION_KEY'], 'an application key')
  learn(env['B2_APPLICATION_KEY_ID'], 'a key id')
  for (const key of env['API_KEYS']?.split(',') ?? []) {
    const [first, token = first] = key.trim().split(':')
    learn(token, 'an API key')
  }
}

/** Learns from an `Authorization` header that somebody sent. */
export function learnFromHeader (header: string | undefined): void {
  if (header === undefined) return
  const [, keyId, signature] = /^AWS4-HMAC-SHA256 Credential=([^/]+).*Signature=([0-9a-f]{64})/.exec(header) ?? []
  if (signature === undefined) {
    learn(/^\S+ +(.+)$/.exec(header)?.[1], 'credentials that were sent', SHORTEST_SENT)
  } else {
    learn(keyId, 'a key id')
    signatures.add(signature)
  }
}

/** The first secret in a text. */
export function findSecret (text: string): FoundSecret | undefined {
  for (const [kind, form] of FORMS) {
    const match = form.exec(text)
    if (match !== null) return { kind, index: match.index, length: match[0].length }
  }
  const match = anyKnown?.exec(text)
  if (match != null) return { kind: known.get(match[0])!, index: match.index, length: match[0].length }
  if (signatures.size === 0) return undefined
  for (const { 0: hash, index } of text.matchAll(/\b[0-9a-f]{64}\b/g)) if (signatures.has(hash)) return { kind: 'a signature', index, length: hash.length }
  return undefined
}

/** The text around a secret, without it and whatever follows it at once. */
export function withoutSecret (text: string, { index, length }: FoundSecret): string {
  return `${text.slice(Math.max(0, index - 200), index)}***${text.slice(index + length).replace(/^[^\s",;\\]+/, '').slice(0, 100)}`
}
