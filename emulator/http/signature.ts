import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { S3Error, invalidArgument } from './errors.ts'
import type { Target } from './target.ts'

const ALGORITHM = 'AWS4-HMAC-SHA256'
const MAX_SKEW_MS = 15 * 60_000
/** Cluster, account, number: the master key's id is the account alone, and B2's S3 API calls that malformed. */
const KEY_ID_FORM = /^\d{3}[0-9a-f]{12}\d{10}$/i

/** The one key the emulator accepts, and the region it must sign for. */
export interface SigningKey {
  applicationKeyId: string
  applicationKey: string
  region: string
}

/** Request headers with every value apart, as `IncomingMessage.headersDistinct` gives them. */
export type DistinctHeaders = Readonly<Record<string, string[] | undefined>>

interface Authorization {
  keyId: string
  date: string
  region: string
  scopeEnd: string
  signedHeaders: string[]
  signature: string
}

function unauthorized (bucket: string | undefined): S3Error {
  return new S3Error(401, 'UnauthorizedAccess', bucket === undefined ? 'Not authorized' : `bucket is not authorized: ${bucket}`)
}

function malformed (): S3Error {
  return new S3Error(400, 'AuthorizationHeaderMalformed', 'The authorization header is malformed')
}

function parseAuthorization (header: string): Authorization {
  if (!header.startsWith(`${ALGORITHM} `)) {
    throw invalidArgument('Unsupported Authorization Type')
  }
  const fields = new Map(header.slice(ALGORITHM.length + 1).split(',').map((field) => {
    const [name = '', ...rest] = field.trim().split('=')
    return [name, rest.join('=')] as const
  }))
  const credential = (fields.get('Credential') ?? '').split('/')
  const [service, terminator] = credential.slice(-2)
  const [keyId = '', date = '', region = ''] = [credential.slice(0, -4).join('/'), ...credential.slice(-4, -2)]
  const signedHeaders = (fields.get('SignedHeaders') ?? '').split(';').filter((name) => name !== '')
  const signature = fields.get('Signature') ?? ''
  if (credential.length < 5 || signedHeaders.length === 0 || signature === '') throw malformed()
  return { keyId, date, region, scopeEnd: `${service}/${terminator}`, signedHeaders, signature }
}

function encode (text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}

function canonicalQuery (query: Target['query']): string {
  return query
    .map(([name, value]) => [encode(name), encode(value)] as const)
    .sort(([a, av], [b, bv]) => a === b ? (av < bv ? -1 : 1) : (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`).join('&')
}

function canonicalHeader (values: string[] | undefined): string {
  return (values ?? []).map((value) => value.trim().replace(/\s+/g, ' ')).join(',')
}

function hmac (key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

function signatureOf (method: string, target: Target, headers: DistinctHeaders, auth: Authorization, amzDate: string, secret: string): string {
  const request = [
    method,
    decodeURIComponent(target.rawPath).split('/').map(encode).join('/'),
    canonicalQuery(target.query),
    ...auth.signedHeaders.map((name) => `${name}:${canonicalHeader(headers[name])}`),
    '',
    auth.signedHeaders.join(';'),
    canonicalHeader(headers['x-amz-content-sha256']),
  ].join('\n')
  const scope = `${auth.date}/${auth.region}/${auth.scopeEnd}`
  const text = [ALGORITHM, amzDate, scope, createHash('sha256').update(request).digest('hex')].join('\n')
  const key = [auth.region, ...auth.scopeEnd.split('/')].reduce((previous, step) => hmac(previous, step), hmac(`AWS4${secret}`, auth.date))
  return hmac(key, text).toString('hex')
}

function parseAmzDate (text: string): number {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text)
  if (match === null) return Date.parse(text)
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number)
  return Date.UTC(year!, month! - 1, day, hour, minute, second)
}

function checkSignedHeaders (headers: DistinctHeaders, signedHeaders: string[]): void {
  const unsigned = Object.keys(headers).filter((name) => (name === 'host' || name.startsWith('x-amz-')) && !signedHeaders.includes(name))
  if (unsigned.length > 0) {
    throw new S3Error(403, 'AccessDenied', `There were headers present in the request which were not signed: ${unsigned.join(', ')}`)
  }
}

/**
 * Verifies the SigV4 signature of a request's head, before its body is read.
 *
 * Throws S3Error: 401 `UnauthorizedAccess` without credentials, 403 `InvalidAccessKeyId` for a malformed or unknown key,
 * 403 `SignatureDoesNotMatch` for a wrong secret or signing region, 403 `RequestTimeTooSkewed` beyond 15 minutes,
 * 403 `AccessDenied` if an `x-amz-` header is not signed.
 */
export function verifySignature (method: string, target: Target, headers: DistinctHeaders, key: SigningKey, now = Date.now()): void {
  const header = headers['authorization']?.[0]
  if (header === undefined) throw unauthorized(target.bucket)
  const auth = parseAuthorization(header)
  if (auth.keyId !== key.applicationKeyId) {
    const message = KEY_ID_FORM.test(auth.keyId) ? `The key '${auth.keyId}' is not valid` : 'Malformed Access Key Id'
    throw new S3Error(403, 'InvalidAccessKeyId', message)
  }

  const amzDate = headers['x-amz-date']?.[0] ?? headers['date']?.[0] ?? ''
  const signedAt = parseAmzDate(amzDate)
  if (Number.isNaN(signedAt)) throw new S3Error(403, 'AccessDenied', 'A valid x-amz-date or Date header is required')
  if (Math.abs(now - signedAt) > MAX_SKEW_MS) {
    throw new S3Error(403, 'RequestTimeTooSkewed', 'The difference between the request time and the current time is too large')
  }
  checkSignedHeaders(headers, auth.signedHeaders)

  const expected = Buffer.from(signatureOf(method, target, headers, auth, amzDate, key.applicationKey))
  const given = Buffer.from(auth.signature)
  const genuine = given.length === expected.length && timingSafeEqual(given, expected)
  if (!genuine || auth.region !== key.region || auth.scopeEnd !== 's3/aws4_request' || !isSameDay(auth.date, signedAt)) {
    throw new S3Error(403, 'SignatureDoesNotMatch', 'Signature validation failed')
  }
}

function isSameDay (date: string, time: number): boolean {
  return new Date(time).toISOString().slice(0, 10).replaceAll('-', '') === date
}
