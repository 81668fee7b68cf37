import { METHODS } from 'node:http'
import { brokenForms } from '../forms/hostile-forms.ts'

/** The key that the service accepts. */
export const API_KEY = 'the-one-key-that-is-accepted'
/** In every wrong key, so that it can be looked for where no key may be. */
export const WRONG_KEY = 'not-a-key-of-this-service'
/** The name of a header that only an answer with an injected header has. */
export const INJECTED = 'x-injected'

/** Something that no honest client sends. */
export interface HostileRequest {
  readonly family: string
  readonly bytes: Buffer
  /** What the client does after its last byte: wait for one answer, close its side and read on, or go away. */
  readonly then: 'wait' | 'half-close' | 'leave'
  /** Statuses that are right; 201 only with `content`. */
  readonly statuses: readonly number[]
  /** The correlation ids of the answers, in their order, where they are certain. */
  readonly ids?: readonly string[]
  /** The file in it, where it is whole all the same. */
  readonly content?: Buffer
  readonly isHead?: boolean
}

export type Random = (below: number) => number
export type Family = (random: Random, known: string) => Omit<HostileRequest, 'family'>

export const pick = <T>(random: Random, from: readonly T[]): T => from[random(from.length)]!
export const noise = (random: Random, length: number): string => Buffer.from(Array.from({ length }, () => random(256))).toString('latin1')
const word = (random: Random): string => random(2 ** 30).toString(36)

/** A head and a body, each character a byte. */
export function http (method: string, path: string, headers: readonly string[], body: string | Buffer = ''): Buffer {
  const lines = [`${method} ${path} HTTP/1.1`, 'host: x', ...headers]
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), typeof body === 'string' ? Buffer.from(body, 'latin1') : body])
}

export const KEY = `authorization: Bearer ${API_KEY}`
const OCTETS = 'content-type: application/octet-stream'
const sized = (body: string | Buffer): string => `content-length: ${body.length}`

/** A whole upload, odd in `name` or `headers` alone. */
function upload (random: Random, name: string, headers: readonly string[] = []): Omit<HostileRequest, 'family' | 'statuses'> {
  const content = Buffer.from(noise(random, random(300)), 'latin1')
  return { bytes: http('PUT', `/uploads/${name}`, [KEY, sized(content), ...headers], content), then: 'wait', content }
}

const PATHS = [
  '..', '../..', '%2e%2e', '%2e%2e%2f%2e%2e%2fetc%2fpasswd', '..%2f..%2fx', '..%5c..%5cx', '..\\..\\x', '%00', 'a%00.mp3', '%c0%ae%c0%ae', '%252e%252e%252f', '.', '...', '%0d%0ax-injected:%201',
  '%0a', '%e2%80%ae3pm.exe', '%f0%9f%8e%b5.mp3', '%ed%a0%80', '%zz', '%', '%ff', 'CON', 'aux.mp3', 'nul.', 'a:b', 'C:%5cx.mp3', 'a;b', 'a?b', 'a#b', '*', '~root', '$(id)', '%27;--', '<x>', '%3Cscript%3E',
  'tracks%2f..%2f..%2fx', '%2fetc%2fpasswd', '/etc/passwd', '.part', 'x.part', 'x.json', '.leftovers', '.leftovers%2fx', '__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', '__defineGetter__',
  'x'.repeat(101), 'x'.repeat(3_000), '%61'.repeat(1_000), '%E2%82%AC'.repeat(300), `x.${'y'.repeat(300)}`, '.mp3', 'a.MP3%20', ' ', '%20', '\xe4.mp3',
]

const RANGES = ['bytes=0-0', 'bytes=-1', 'bytes=5-', 'bytes=9-2', 'bytes=', 'bytes=a-b', 'bytes=-', 'bytes=0-0,2-3', 'bytes=99999999999999999999-', 'bytes=-99999999999999999999', 'bytes=0-0-0', 'lines=1-2', 'bytes = 1-2', 'bytes=0x1-2', `bytes=${'0-1,'.repeat(500)}`, 'none', '', 'bytes=1e3-', 'bytes=\xff']
const CONDITIONS = ['*', '"', '""', 'W/"x"', '"x", "y"', `"${'x'.repeat(2_000)}"`, 'x', '', ',,,', 'Thu, 01 Jan 1970 00:00:00 GMT', 'yesterday', 'Thu, 99 Foo 99999 99:99:99 GMT', '1e99', '\xff', '"a\\"b"']
const TYPES = ['', ';', '/', 'multipart', 'multipart/', 'multipart/form-data', 'multipart/form-data;', 'multipart/form-data; boundary=', 'multipart/form-data; boundary=""', `multipart/form-data; boundary=${'b'.repeat(5_000)}`, 'multipart/mixed; boundary=b', 'text/html; charset=%00', 'application/json', 'a/b/c', '*/*', 'image/*', `${'x'.repeat(4_000)}/y`, 'multipart/form-data; boundary="b', 'multipart/form-data; boundary*=utf-8\'\'b', '\xff/\xff', 'application/x-www-form-urlencoded', 'constructor/prototype', '__proto__/x']
const LENGTHS = ['+3', '-3', '0x3', '3, 3', '3,4', '3 3', '1e1', 'NaN', '', '3.0', '99999999999999999999', '18446744073709551619', '\xb2']
const ENCODINGS = ['xchunked', 'chunked, identity', 'identity', 'chunked, chunked', 'gzip, chunked', '\x0bchunked', '"chunked"', 'chunked;x', 'deflate', 'Chunked\xff', '']
const CHUNKS = ['zz\r\nabc\r\n0\r\n\r\n', '3\nabc\n0\n\n', '3\r\nabcd\r\n0\r\n\r\n', '-3\r\nabc\r\n0\r\n\r\n', '0x3\r\nabc\r\n0\r\n\r\n', 'ffffffffffffffff1\r\nabc\r\n', '3\r\nab', '3', `3;${'x'.repeat(20_000)}\r\nabc\r\n0\r\n\r\n`, '3 \r\nabc\r\n0\r\n\r\n', '3\r\nabc\r\n0\r\nx: y', ' 3\r\nabc\r\n0\r\n\r\n', '3\r\nabc0\r\n\r\n']
const IDS = ['', ' ', 'a b', 'a\tb', '"', '%0d%0ax-injected: 1', '<script>', 'x'.repeat(129), 'x'.repeat(3_000), '\xff\xfe', '{}', '$' + '{jndi:ldap://x}', '../../x', 'null', '__proto__', '%7f']
const TRACES = ['', '00', '00-0-0-0', `00-${'0'.repeat(32)}-${'0'.repeat(16)}-00`, `ff-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, `00-${'A'.repeat(32)}-${'b'.repeat(16)}-01`, `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01-x`, `01-${'a'.repeat(32)}-${'b'.repeat(16)}-01-${'-'.repeat(5_000)}`, '\xff']
const NAMES = ['host', 'x-correlation-id', 'accept', 'cookie', 'range', 'origin', 'x-forwarded-for', 'traceparent', 'te', 'upgrade', 'connection', '__proto__', 'constructor']

const FAMILIES: Record<string, Family> = {
  'a wrong key' (random) {
    const value = pick(random, ['Bearer', 'Bearer ', 'Basic eDp4', `Bearer ${WRONG_KEY}`, `Bearer  ${WRONG_KEY}`, `bearer\t${WRONG_KEY}`, `Bearer ${WRONG_KEY}${'x'.repeat(random(9_000))}`, `Bearer ${WRONG_KEY},${API_KEY}`, `Bearer ${API_KEY}x`,
      `Bearer ${API_KEY.slice(0, -1)}`, `Bearer ${API_KEY.toUpperCase()}`, `Token ${API_KEY}`, API_KEY, `Bearer ${Buffer.from(API_KEY).toString('base64')}`, `Bearer "${API_KEY}"`, 'Bearer \xff\xfe', 'Bearer undefined', 'Bearer __proto__', `Digest ${WRONG_KEY}`])
    const body = noise(random, random(200))
    const [method, path] = pick(random, [['PUT', '/uploads/a.mp3'], ['POST', '/uploads'], ['GET', '/metrics'], ['GET', '/uploads/x'], ['DELETE', '/uploads/x'], ['GET', '/nowhere'], ['GET', '/uploads/x/content']] as const)
    const header = pick(random, [[`authorization: ${value}`], [], [`authorization: ${value}`, KEY], [`proxy-authorization: Bearer ${API_KEY}`], [`x-api-key: ${API_KEY}`], [`cookie: authorization=${API_KEY}`]])
    return { bytes: http(method, path, [...header, sized(body)], body), then: 'wait', statuses: [401] }
  },
  'huge headers': random => ({ bytes: http('GET', '/health', [`${pick(random, NAMES)}: ${'x'.repeat(random(40_000))}`]), then: 'half-close', statuses: [200, 400, 431] }),
  'many headers': random => ({ bytes: http('GET', '/health', Array.from({ length: random(3_000) }, () => `${word(random)}: ${word(random)}`)), then: 'half-close', statuses: [200, 431] }),
  'bytes that no header may have': random => ({
    bytes: http('GET', '/health', [pick(random, ['a: \x00b', 'a: b\x01', 'a: \x7f', 'a: b\rc: d', 'a: b\nx-injected: 1', ' folded: x', 'a b: c', 'a : b', ': b', 'a', '\xff: x', 'a: \xff', 'a:\x0bb', '(x): y', 'a: b\r\n c', `${noise(random, 20)}: x`, `x: ${noise(random, 20)}`])]),
    then: 'half-close',
    statuses: [200, 400],
  }),
  'odd correlation ids and traces': random => ({
    bytes: http('GET', '/health', [`x-correlation-id: ${pick(random, IDS)}`, `x-request-id: ${pick(random, IDS)}`, `traceparent: ${pick(random, TRACES)}`, `tracestate: ${pick(random, IDS)}`]), then: 'wait', statuses: [200],
  }),
  'odd names of uploads': random => ({ ...upload(random, pick(random, PATHS), random(2) === 0 ? [`content-type: ${pick(random, TYPES)}`] : []), then: 'half-close', statuses: [201, 400, 404] }),
  'odd names of files that are read or removed' (random, known) {
    const name = random(4) === 0 ? `${known}${pick(random, ['x', '%00', '.', '/..', '%2f', '/content/..', '/CONTENT', '%20'])}` : pick(random, PATHS)
    const method = pick(random, ['GET', 'DELETE', 'GET', 'HEAD'])
    return { bytes: http(method, `/uploads/${name}${method === 'DELETE' ? '/x' : pick(random, ['', '/content', '//content', '/content/x'])}`, [KEY]), then: 'half-close', statuses: [400, 404, 414], isHead: method === 'HEAD' }
  },
  'odd ranges and conditions' (random, known) {
    const headers = [['range', RANGES], ['if-range', CONDITIONS], ['if-match', CONDITIONS], ['if-none-match', CONDITIONS], ['if-modified-since', CONDITIONS], ['if-unmodified-since', CONDITIONS]] as const
    const method = pick(random, ['GET', 'HEAD'])
    return { bytes: http(method, `/uploads/${known}/content`, [KEY, ...headers.filter(() => random(3) === 0).map(([name, values]) => `${name}: ${pick(random, values)}`)]), then: 'wait', statuses: [200, 206, 304, 400, 412, 416], isHead: method === 'HEAD' }
  },
  'odd content types' (random) {
    const body = noise(random, random(300))
    return { bytes: http('POST', '/uploads', [KEY, `content-type: ${pick(random, TYPES)}`, sized(body)], body), then: 'wait', statuses: [400, 415] }
  },
  'odd methods': random => ({
    bytes: http(pick(random, [...METHODS.filter(method => !['CONNECT', 'HEAD', 'POST', 'PUT', 'GET', 'QUERY'].includes(method)), 'get', 'FROB', 'G\x00T', '', 'GET GET', 'x'.repeat(500)]), pick(random, ['/uploads', '/health', '*', '/uploads/a/content', 'http://evil.example/uploads/x', '//evil.example', '/']), [KEY]),
    then: 'half-close',
    statuses: [400, 404],
  }),
  'odd query strings': random => ({
    bytes: http('GET', `${pick(random, ['/health', '/uploads/x', '/nowhere', '/documentation/json/x'])}?${pick(random, ['__proto__[x]=1', 'a[]=1&a[]=2', '%zz', '&&&===', 'a='.repeat(2_000), 'constructor=1&constructor[prototype]=2', '\xff', '?'.repeat(50), 'x-injected:1%0d%0a'])}`, [KEY]), then: 'half-close', statuses: [200, 400, 404],
  }),
  'lengths that are none': random => ({ bytes: http('PUT', '/uploads/a', [KEY, `content-length: ${pick(random, LENGTHS)}`], 'abc'), then: 'half-close', statuses: [400, 413] }),
  'two ways to say where a request ends' (random) {
    const headers = pick(random, [
      ['content-length: 3', 'transfer-encoding: chunked'], ['transfer-encoding: chunked', 'content-length: 5'], ['content-length: 3', 'content-length: 4'], ['content-length: 3', `transfer-encoding: ${pick(random, ENCODINGS)}`],
      [`transfer-encoding: ${pick(random, ENCODINGS)}`], ['transfer-encoding: chunked', `transfer-encoding: ${pick(random, ENCODINGS)}`], ['transfer-encoding : chunked'], ['content-length : 3'], ['transfer-encoding:\r\n chunked'],
    ])
    return { bytes: http('PUT', '/uploads/a', [KEY, ...headers], `0\r\n\r\nGET /metrics HTTP/1.1\r\nhost: x\r\n${KEY}\r\n\r\n`), then: 'half-close', statuses: [400, 413] }
  },
  'chunks that are none': random => ({ bytes: http('PUT', '/uploads/a', [KEY, 'transfer-encoding: chunked'], pick(random, CHUNKS)), then: 'half-close', statuses: [400, 413] }),
  'bodies that end early' (random) {
    const body = noise(random, random(300))
    return { bytes: http('PUT', '/uploads/a', [KEY, OCTETS, `content-length: ${body.length + 1 + random(1_000)}`], body), then: 'half-close', statuses: [400] }
  },
  'another protocol': random => ({
    bytes: Buffer.from(pick(random, ['\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'SSH-2.0-x\r\n', 'GET / HTTP/9.9\r\n\r\n', 'GET /\r\n\r\n', '\r\n\r\n', '\x00\x00\x00\x00', 'EHLO x\r\n', 'CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n', '*1\r\n$4\r\nPING\r\n']) + noise(random, random(50)), 'latin1'),
    then: 'half-close',
    statuses: [400, 401],
  }),
  'requests one behind the other' (random) {
    const ids = Array.from({ length: 2 + random(10) }, () => word(random))
    const requests = ids.map(id => {
      const [path, ...headers] = pick(random, [['/health'], ['/nowhere', KEY], ['/uploads/x', `authorization: Bearer ${WRONG_KEY}`], ['/uploads/__proto__/content', KEY]] as const)
      return http('GET', path, [...headers, `x-correlation-id: ${id}`])
    })
    return { bytes: Buffer.concat(requests), then: 'half-close', statuses: [200, 401, 404], ids }
  },
  ...brokenForms,
}

const NAMES_OF_FAMILIES = Object.keys(FAMILIES)

/** @param known the name of a file that is there */
export function hostileRequest (random: Random, known: string): HostileRequest {
  const family = pick(random, NAMES_OF_FAMILIES)
  const request = FAMILIES[family]!(random, known)
  // What is stored takes the longest; there shall be more of the rest.
  if (request.content !== undefined && random(3) > 0) return hostileRequest(random, known)
  if (random(12) > 0) return { family, ...request }
  const { content, ids, ...others } = request
  return { ...others, family: `${family}, half of it`, bytes: request.bytes.subarray(0, random(request.bytes.byteLength)), then: 'leave' }
}
