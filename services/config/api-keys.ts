import { createHash, timingSafeEqual } from 'node:crypto'
import { InvalidValue } from './errors.ts'

/** What a key can be good for. */
export const SCOPES = ['upload', 'read', 'delete', 'metrics'] as const
export type Scope = typeof SCOPES[number]

/** One of those who may use the service. */
export interface ApiKey {
  /** For log lines. */
  label?: string
  /** What the client sends, a secret. */
  token: string
  /** What it may do; undefined if nothing was said: everything. */
  scopes?: Scope[]
}

/** Bytes of a token at least, in production: what is shorter can be guessed. */
export const SHORTEST_TOKEN = 16

const FORM = 'entries of the form token, label:token or label:token:scopes'

/**
 * Reads `token`, `label:token` and `label:token:scopes`; scopes are joined by `+`.
 * @throws {InvalidValue} which names an entry by its number, since it may be a secret from its first character to its last
 */
export function parseApiKeys (entries: readonly string[]): ApiKey[] {
  const keys: ApiKey[] = []
  for (const [index, entry] of entries.entries()) {
    const number = index + 1
    if (!/^[\x21-\x7e]+$/.test(entry)) {
      throw new InvalidValue(`must have ${FORM} in printable ASCII without spaces, since others can't be sent in an Authorization header; entry ${number} is not`)
    }
    const key = parseEntry(entry, number)
    const same = keys.findIndex(({ token }) => token === key.token)
    if (same === -1) keys.push(key)
    else if (entries.indexOf(entry) === index) throw new InvalidValue(`must have a token of its own in each entry; entry ${number} has one of an earlier entry`)
  }
  const labels = keys.flatMap(({ label }) => label ?? [])
  const twice = labels.find((label, index) => labels.indexOf(label) !== index)
  if (twice !== undefined) throw new InvalidValue('must have a label of its own in each entry that has one; two entries share theirs')
  return keys
}

function parseEntry (entry: string, number: number): ApiKey {
  const [first, second, third, ...more] = entry.split(':') as [string, ...string[]]
  if (second === undefined) return { token: first }
  if (more.length > 0) throw new InvalidValue(`must have ${FORM}; entry ${number} has more than two colons, and a token has none`)
  if (!/^[A-Za-z0-9._-]{1,32}$/.test(first)) {
    throw new InvalidValue(`must have ${FORM}, with labels of 1 to 32 letters, digits, dots, underscores and hyphens; entry ${number} has another one`)
  }
  if (second === '') throw new InvalidValue(`must have ${FORM}; entry ${number} has no token`)
  return { label: first, token: second, ...(third === undefined ? {} : { scopes: parseScopes(third, number) }) }
}

function parseScopes (text: string, number: number): Scope[] {
  const names = text.split('+')
  if (!names.every(isScope)) {
    throw new InvalidValue(`must have scopes out of ${SCOPES.join(', ')}, joined by +; entry ${number} has an unknown or empty one (leave them out with their colon for all)`)
  }
  return [...new Set(names)]
}

function isScope (name: string): name is Scope {
  return (SCOPES as readonly string[]).includes(name)
}

/** Whether a key is good for something. */
export function allows ({ scopes }: ApiKey, scope: Scope): boolean {
  return scopes === undefined || scopes.includes(scope)
}

/** Makes what finds the key of a token, in a time that tells nothing of the tokens. */
export function createKeyFinder (keys: readonly ApiKey[]): (token: string) => ApiKey | undefined {
  const digestOf = (token: string): Buffer => createHash('sha256').update(token).digest()
  const known = keys.map(key => ({ key, digest: digestOf(key.token) }))
  return token => {
    const given = digestOf(token)
    let found: ApiKey | undefined
    for (const { key, digest } of known) if (timingSafeEqual(digest, given)) found = key
    return found
  }
}
