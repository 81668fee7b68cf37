import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import type { Test } from 'tap'
import { headersFor } from '../support/clients/conditional-cases.ts'
import type { Validators } from '../support/clients/conditional-cases.ts'
import { contentPath, download } from '../support/clients/download.ts'
import type { Download } from '../support/clients/download.ts'
import { holds } from '../support/run/fuzz.ts'
import { KIB, setPromotionStage } from '../support/promotion/promotion.ts'
import { bytes, put, sha256 } from '../support/service/service.ts'

interface Served { readonly path: string, readonly storage: string, readonly content: Buffer, readonly validators: Validators }

/** Files of several sizes, each in B2 and in local storage. */
async function setStage (t: Test): Promise<{ served: Served[], ask (file: Served, method: Method, headers: Record<string, string>): Promise<Download> }> {
  const { b2, service } = await setPromotionStage(t)
  const served: Served[] = []
  for (const storage of ['b2', 'local']) {
    if (storage === 'local') b2.fault({ operation: 'PutObject', status: 503, times: Infinity })
    for (const size of [0, 1, 1_000, 100 * KIB]) {
      const content = bytes(size)
      const { body } = await put(service, content)
      assert.equal(body.storage, storage)
      const path = contentPath(body.track.key)
      const { headers } = await download(service, path, { method: 'HEAD' })
      served.push({ path, storage, content, validators: { etag: headers.etag!, date: headers['last-modified']! } })
    }
  }
  return { served, ask: async ({ path, validators }, method, headers) => await download(service, path, { method, headers: headersFor(headers, validators) }) }
}

const methods = fc.constantFrom('GET', 'HEAD')
type Method = 'GET' | 'HEAD'

type Expected = 200 | 304 | 412 | 416 | readonly [first: number, last: number]

/** The answer is what is expected, to the byte, and says so. */
function isAnswered ({ status, headers, body, isWhole }: Download, { content, validators }: Served, method: Method, expected: Expected): void {
  const size = content.byteLength
  assert.equal(status, typeof expected === 'number' ? expected : 206)
  assert(isWhole)
  assert.equal(headers['content-range'], expected === 416 ? `bytes */${size}` : typeof expected === 'number' ? undefined : `bytes ${expected[0]}-${expected[1]}/${size}`)
  if (expected === 412 || expected === 416) {
    assert.match(headers['content-type']!, /^application\/json/)
    assert.equal(headers.etag, undefined)
    if (method === 'GET') assert.equal(JSON.parse(body.toString()).error_code, expected === 412 ? 'precondition_failed' : 'range_not_satisfiable')
    return
  }
  assert.deepEqual([headers.etag, headers['last-modified']], [validators.etag, validators.date])
  const slice = expected === 304 ? Buffer.alloc(0) : expected === 200 ? content : content.subarray(expected[0], expected[1] + 1)
  assert.equal(headers['content-length'], expected === 304 ? undefined : String(slice.byteLength))
  assert.equal(sha256(body), sha256(method === 'HEAD' ? Buffer.alloc(0) : slice))
}

/** A position of a range, near the places where something may go wrong in a file of any of the sizes. */
const position = fc.oneof(fc.nat({ max: 5 }), fc.nat({ max: 1_100 }), fc.integer({ min: 102_390, max: 102_410 }), fc.nat({ max: 200_000 }), fc.constantFrom(2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER))
const asked = fc.oneof(
  fc.tuple(position, position).map(([a, b]) => ({ first: Math.min(a, b), last: Math.max(a, b) })),
  position.map(first => ({ first })),
  position.map(suffix => ({ suffix }))
)
type Asked = { first: number, last?: number } | { suffix: number }

function written (range: Asked, zeros: number, space: string): string {
  const number = (value: number | undefined): string => value === undefined ? '' : `${'0'.repeat(zeros)}${value}`
  return 'suffix' in range ? `${space}-${number(range.suffix)}` : `${space}${number(range.first)}-${number(range.last)}`
}

/** RFC 9110 §14, where it leaves a choice as the service has it: several ranges are the whole file, and so is any range from byte 0 on of an empty one. */
function modelOfRanges (ranges: readonly Asked[], size: number): Expected {
  const satisfiable = ranges.map(range => {
    if ('suffix' in range) return [Math.max(size - range.suffix, 0), size - 1] as const
    return [range.first, Math.min(range.last ?? Infinity, size - 1)] as const
  }).filter(([first, last]) => first <= last || (size === 0 && first === 0))
  if (satisfiable.length === 0) return 416
  return satisfiable.length > 1 || size === 0 ? 200 : satisfiable[0]!
}

const rangeHeaders = fc.record({
  unit: fc.constantFrom('bytes', 'Bytes', 'BYTES'),
  ranges: fc.oneof({ weight: 4, arbitrary: fc.array(asked, { minLength: 1, maxLength: 1 }) }, { weight: 1, arbitrary: fc.array(asked, { minLength: 2, maxLength: 4 }) }),
  zeros: fc.nat({ max: 2 }),
  space: fc.constantFrom('', ' '),
}).map(({ unit, ranges, zeros, space }) => ({ ranges: ranges as Asked[], header: `${unit}=${ranges.map(range => written(range, zeros, space)).join(',')}` }))

const etags = fc.oneof(
  fc.constantFrom('{etag}', '{etag}', 'W/{etag}', '"other"', 'W/"other"', '""', '"a, b"', '"{etag}', '"W/"'),
  fc.string({ unit: fc.constantFrom(...'ab0,/!#\xe4W'), maxLength: 6 }).map(tag => `"${tag}"`)
)
const etagLists: fc.Arbitrary<string[]> = fc.oneof({ weight: 1, arbitrary: fc.constant<string[]>(['*']) }, { weight: 6, arbitrary: fc.array(etags, { minLength: 1, maxLength: 3 }) })
const dates: fc.Arbitrary<string> = fc.constantFrom('{date}', '{rfc850}', '{asctime}', '{earlier}', '{later}', 'Thu, 01 Jan 1970 00:00:00 GMT', 'nonsense')
const optionally = <Value> (arbitrary: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> => fc.option(arbitrary, { nil: undefined, freq: 2 })
const conditions = fc.record({
  match: optionally(etagLists),
  unmodified: optionally(dates),
  noneMatch: optionally(etagLists),
  modified: optionally(dates),
  ifRange: optionally(fc.oneof(etags, dates)),
})

type Conditions = typeof conditions extends fc.Arbitrary<infer Value> ? Value : never

const SAME_DATE = ['{date}', '{rfc850}', '{asctime}']

/** RFC 9110 §13.2.2, with the dates as the service has them: If-Modified-Since has to be the very date. What is no date is ignored. */
function modelOfConditions ({ match, unmodified, noneMatch, modified }: Conditions): 'met' | 304 | 412 {
  const isMet = match !== undefined
    ? match[0] === '*' || match.includes('{etag}')
    : unmodified === undefined || [...SAME_DATE, '{later}', 'nonsense'].includes(unmodified)
  if (!isMet) return 412
  const isKnown = noneMatch !== undefined
    ? noneMatch[0] === '*' || noneMatch.includes('{etag}') || noneMatch.includes('W/{etag}')
    : modified !== undefined && SAME_DATE.includes(modified)
  return isKnown ? 304 : 'met'
}

t.test('ranges and conditions are answered as RFC 9110 has it, from either store', async t => {
  const { served, ask } = await setStage(t)
  await holds(300, fc.asyncProperty(fc.nat({ max: served.length - 1 }), methods, optionally(rangeHeaders), conditions, async (index, method, range, conditions) => {
    const file = served[index]!
    const { match, unmodified, noneMatch, modified, ifRange } = conditions
    const sent = {
      range: range?.header,
      'if-match': match?.join(', '),
      'if-unmodified-since': unmodified,
      'if-none-match': noneMatch?.join(' ,'),
      'if-modified-since': modified,
      'if-range': ifRange,
    }
    const headers = Object.fromEntries(Object.entries(sent).filter((entry): entry is [string, string] => entry[1] !== undefined))
    const verdict = modelOfConditions(conditions)
    const counts = ifRange === undefined || ifRange === '{etag}' || SAME_DATE.includes(ifRange)
    const expected = verdict !== 'met' ? verdict : method === 'HEAD' || range === undefined || !counts ? 200 : modelOfRanges(range.ranges, file.content.byteLength)
    isAnswered(await ask(file, method, headers), file, method, expected)
  }))
})

t.test('a tag in which a weak one seems to begin is another tag', async t => {
  const { served, ask } = await setStage(t)
  const file = served[1]!
  isAnswered(await ask(file, 'GET', { 'if-none-match': `${file.validators.etag.slice(0, -1)}W/"` }), file, 'GET', 200)
})

const text = fc.string({ unit: fc.integer({ min: 0x20, max: 0xff }).filter(code => code !== 0x7f).map(code => String.fromCharCode(code)), maxLength: 40 })
const rangeLike = fc.string({ unit: fc.constantFrom(...'0123456789-,= b', 'bytes=', '\t', '9'.repeat(19), '.', 'x'), maxLength: 20 })
const anyValue = fc.oneof(text, rangeLike, rangeLike.map(value => `bytes=${value}`), etags, dates)

t.test('whatever the headers say, the bytes are those that the answer names', async t => {
  const { served, ask } = await setStage(t)
  const names = fc.constantFrom('range', 'range', 'range', 'if-range', 'if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since')
  await holds(300, fc.asyncProperty(fc.nat({ max: served.length - 1 }), methods, fc.dictionary(names, anyValue, { minKeys: 1, maxKeys: 3 }), async (index, method, headers) => {
    const file = served[index]!
    const answer = await ask(file, method, headers)
    const { status } = answer
    const [, first, last] = /^bytes (\d+)-(\d+)\//.exec(answer.headers['content-range'] ?? '') ?? []
    assert([200, 206, 304, 412, 416].includes(status), String(status))
    if (!('range' in headers)) assert(status !== 206 && status !== 416)
    if (status === 206) assert(Number(first) <= Number(last) && Number(last) < file.content.byteLength)
    isAnswered(answer, file, method, status === 206 ? [Number(first), Number(last)] : status as Expected)
  }))
})
